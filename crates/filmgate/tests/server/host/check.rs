//! `filmgate host check`, on real tables that fit and on such as do not.
