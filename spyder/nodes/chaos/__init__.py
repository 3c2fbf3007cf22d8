"""What ``spyder bench --chaos`` does: a crawl whose processes are killed and stopped, and which is checked afterwards."""
