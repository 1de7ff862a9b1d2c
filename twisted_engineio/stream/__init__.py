"""Any Twisted protocol over sessions."""
