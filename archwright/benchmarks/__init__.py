"""archwright.benchmarks."""
