//! One file for each page, named as its address is.

pub mod audit;
pub mod boxes;
pub mod bulk;
pub mod claim;
pub mod home;
pub mod journal;
pub mod login;
