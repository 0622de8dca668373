//! Size classes.
#![no_std]
