"""Programs that measure grucli and write docs/benchmarks.md."""
