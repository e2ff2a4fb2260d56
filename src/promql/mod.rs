//! PromQL: splice and prove. Pure.
