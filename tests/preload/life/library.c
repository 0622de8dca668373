/* A library that has nothing but an allocator in it. */
int nothing;
