"""Crawlee for Python over one site: ParselCrawler, storage in memory. START and LIMIT (s) from the environment."""

import asyncio
import contextlib
import os

from crawlee import ConcurrencySettings
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.storage_clients import MemoryStorageClient


async def main() -> None:
    crawler = ParselCrawler(
        storage_client=MemoryStorageClient(),
        concurrency_settings=ConcurrencySettings(desired_concurrency=32, min_concurrency=32, max_concurrency=32),
        respect_robots_txt_file=False, max_request_retries=0, max_session_rotations=0)

    @crawler.router.default_handler
    async def record(context: ParselCrawlingContext) -> None:
        title = context.selector.xpath("string(//title)").get()
        status = context.http_response.status_code
        await context.push_data({"url": context.request.url, "status": status, "title": title})
        await context.enqueue_links(strategy="same-hostname")

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(crawler.run([os.environ["START"]]), float(os.environ["LIMIT"]))


asyncio.run(main())
