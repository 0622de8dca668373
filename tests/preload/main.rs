//! libgort.so and libgort.a under programs in C and C++: the allocation interface as the standards and glibc's manual define
//! it, the symbols of the files, and the life of a process that was not written for gort.
//!
//! What gort and glibc promise alike is also run without gort: a check that glibc fails is a wrong check.

mod interface;
mod library;
mod life;
mod misuse;
mod symbols;
mod xml;
