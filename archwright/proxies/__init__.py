"""archwright.proxies."""
