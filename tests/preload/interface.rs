//! The allocation interface, called from C and C++.
