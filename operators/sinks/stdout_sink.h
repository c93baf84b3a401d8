// StdoutSink: rows as lines on a file descriptor, standard output unless told otherwise.
//
// At least once: what was printed after the last checkpoint is printed again after a restart, and
// cannot be revoked. The subtasks' lines mix, but never within a line. Writing happens on the I/O
// pool, so a slow reader slows the job down and does not block its task.
#pragma once

#include <memory>

#include "operators/sink.h"
#include "operators/sinks/line_formatter.h"

namespace weir {

class StdoutSink final : public Sink, private LineWriter {
 public:
  // `fd` is not closed and must outlive the sink.
  explicit StdoutSink(std::unique_ptr<LineFormatter> formatter, int fd = 1);
  ~StdoutSink() override;

  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Write(BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  // Done when everything has been written.
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override;
  // Unimplemented for a revocation.
  Status Recover(const Recovery& recovery) override;
  void Close() override;

 private:
  class Stream;

  void TakeLines(const LineBlock& block, Lines lines) override;

  const std::unique_ptr<LineFormatter> formatter_;
  const int fd_;
  bool draining_ = false;
  std::shared_ptr<Stream> stream_;
};

}  // namespace weir
