//! Where the lane on this thread is: what an error or a panic is blamed on.
