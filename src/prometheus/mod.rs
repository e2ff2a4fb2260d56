//! The Prometheus and Thanos HTTP APIs: parameters, answers, remote read. Pure.
