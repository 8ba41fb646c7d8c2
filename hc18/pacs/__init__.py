"""Signed reports to an image archive (PACS): sending, asking whether they arrived, and a queue that survives restarts."""
