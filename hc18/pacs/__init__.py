"""Reports to an image archive (PACS): sending, asking whether they arrived, a queue that survives restarts."""
