"""archwright.testing."""
