//! airlift
