"""archwright.tasks."""
