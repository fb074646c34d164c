module npmx-registry.invalid/judge

go 1.26.0

// v0.40.0 or later: earlier tile readers accept forged tiles (CVE-2026-56865).
require golang.org/x/mod v0.42.0
