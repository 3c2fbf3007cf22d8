"""What ``spyder bench --chaos`` does: a crawl whose processes are killed and stopped, checked when it has ended."""
