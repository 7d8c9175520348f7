//! CoCalc's own record of a start, held against ours.
//!
//! The service that builds pods is closed. With the HELM value `manage.dbg_project_patching: "1"` it logs each pod
//! right before patching, the patch set and the result; that log is the only word of the closed part that an admin
//! can read. This room reads it from any log, however it is laid out, and names every difference to what this crate
//! computes. It is pure: it is fed with bytes and answers with values.
//!
//! * [`reader`]: from bytes to the values behind the three markers, and to lines that may tell of an error.
//! * [`starts`]: which values and errors belong to the same start.
//! * [`mod@replay`]: the patch set applied to the pod before it, compared with the result in the log.
//! * [`owners`]: which license each operation of the patch set is from.
//! * [`errors`]: what an error in the log means, and which operation is to blame.
//! * [`judge`]: all of it for one start, and the report.

pub mod errors;
pub mod judge;
mod loose;
pub mod owners;
pub mod reader;
pub mod replay;
pub mod starts;
mod times;

pub use errors::{Blame, Explanation, Fault, explain};
pub use judge::{ErrorTold, Judge, Judged, blame_text};
pub use owners::{Owner, Owners};
pub use reader::{Item, Line, Marker, Reader, Record, Span, Unreadable};
pub use replay::{Difference, Replay, Verdict, differences, replay};
pub use starts::{Collector, Start, Told};
