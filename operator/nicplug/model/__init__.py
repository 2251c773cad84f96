"""What Kubernetes objects mean to nicplug: parsed into small frozen records, never fetched.

Pure. Imports nothing of Kopf, the API client, asyncio or clocks.
"""
