"""Controls with a known answer: a metric that does not order them as it should is broken."""
