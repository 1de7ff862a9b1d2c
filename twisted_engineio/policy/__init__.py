"""Rules that need no session: quotas, rates, proxies, origins, redaction."""
