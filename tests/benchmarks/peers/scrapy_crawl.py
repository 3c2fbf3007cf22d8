"""Scrapy over one site: CrawlSpider, LinkExtractor, a durable queue in a job directory.

START, LIMIT (s) and OUT from the environment.
"""

import os
from urllib.parse import urlsplit

from scrapy.crawler import CrawlerProcess
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import CrawlSpider, Rule

start, limit, out = os.environ["START"], os.environ["LIMIT"], os.environ["OUT"]


class SiteSpider(CrawlSpider):
    name = "site"
    start_urls = (start,)
    allowed_domains = (urlsplit(start).hostname,)
    rules = (Rule(LinkExtractor(), callback="record", follow=True),)

    def record(self, response):
        return {"url": response.url, "status": response.status, "size": len(response.body),
                "title": response.xpath("string(//title)").get()}


process = CrawlerProcess({
    "JOBDIR": os.path.join(out, "job"),
    "FEEDS": {os.path.join(out, "pages.jsonl"): {"format": "jsonlines"}},
    "CLOSESPIDER_TIMEOUT": float(limit),
    # first come, first served, as its documentation on breadth-first order has it
    "DEPTH_PRIORITY": 1,
    "SCHEDULER_DISK_QUEUE": "scrapy.squeues.PickleFifoDiskQueue",
    "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
    "CONCURRENT_REQUESTS": 32,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 32,
    "DOWNLOAD_DELAY": 0,
    "ROBOTSTXT_OBEY": False,
    "COOKIES_ENABLED": False,
    "RETRY_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "WARNING",
})
process.crawl(SiteSpider)
process.start()
