//! What an operator sees and does: health, metrics, the log, certificates, and how the server takes its leave.

mod figures;
mod leaving;
mod logs;
mod policy;
mod tls;
mod watching;
mod working;
