//! The catalogue as pieces of a file or of standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context;
use axum::body::Bytes;
use futures::{Stream, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What is read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces read ahead.
const PIECES_AHEAD: usize = 2;
/// How standard input is named on the command line.
const STANDARD_INPUT: &str = "-";

/// Why a catalogue broke off.
#[derive(Debug)]
pub(in crate::verbs) enum NoMore {
    /// The program was asked to end.
    Interrupted,
    Unreadable {
        name: String,
        source: io::Error,
    },
}

/// A catalogue that can be read.
pub(in crate::verbs) struct Input {
    name: String,
    reader: Box<dyn Read + Send>,
    /// Bytes of it, where that is known.
    length: Option<u64>,
    taken: Arc<AtomicU64>,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(in crate::verbs) fn open(path: &Path) -> anyhow::Result<Input> {
        if path.as_os_str() == STANDARD_INPUT {
            return Ok(Input {
                name: "standard input".to_owned(),
                reader: Box::new(io::stdin()),
                length: None,
                taken: Arc::default(),
            });
        }
        let name = path.display().to_string();
        let cannot_read = || format!("cannot read {name}");
        let file = File::open(path).with_context(cannot_read)?;
        let metadata = file.metadata().with_context(cannot_read)?;
        anyhow::ensure!(!metadata.is_dir(), "cannot read {name}: it is a directory");
        Ok(Input {
            reader: Box::new(file),
            // A pipe says 0.
            length: metadata.is_file().then_some(metadata.len()),
            taken: Arc::default(),
            name,
        })
    }

    /// What is part of the program.
    pub(in crate::verbs) fn embedded(name: &str, bytes: &'static [u8]) -> Input {
        Input {
            name: name.to_owned(),
            reader: Box::new(bytes),
            length: Some(bytes.len() as u64),
            taken: Arc::default(),
        }
    }

    /// Bytes of it, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes that were taken of it so far.
    pub(super) fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    /// Reads it in a thread of its own, which may hang on a terminal or a pipe without holding up the end of the program.
    pub(in crate::verbs) fn into_stream(
        self,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<Bytes, NoMore>> + Send {
        let Input {
            name,
            mut reader,
            taken,
            ..
        } = self;
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        thread::spawn(move || {
            let mut buffer = vec![0; PIECE_BYTES];
            loop {
                let piece = match reader.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => Ok(Bytes::copy_from_slice(&buffer[..count])),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(source) => Err(NoMore::Unreadable {
                        name: name.clone(),
                        source,
                    }),
                };
                let is_last = piece.is_err();
                if sender.blocking_send(piece).is_err() || is_last {
                    return;
                }
            }
        });
        let reading = (receiver, taken, shutdown);
        stream::unfold(reading, async |(mut receiver, taken, shutdown)| {
            let piece = tokio::select! {
                biased;
                () = shutdown.cancelled() => Err(NoMore::Interrupted),
                piece = receiver.recv() => piece?,
            };
            if let Ok(piece) = &piece {
                let piece: &Bytes = piece;
                taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            Some((piece, (receiver, taken, shutdown)))
        })
    }
}
