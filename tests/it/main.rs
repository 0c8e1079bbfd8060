//! The tests that need more than one room: real sockets, real files, the real program.
