//! Memory over time: a line for each allocator.
