// Rows that an operator holds open, as state: written as one encoded batch, and after a restart at
// any parallelism taken up by exactly one instance each.
//
// A row goes to the owner of its key group, by the key hash column; a row without a hash, or one
// that was dealt out by another key at the time, to the instance that owns the first key group of
// the earlier one. Both follow from the snapshot alone.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/row_codec.h"
#include "operators/operator.h"

namespace weir {

struct OpenRowsState {
  std::string_view format;  // "rebatch/1"; literals
  std::string_view name;    // of the state, for schemas and messages: "open batch"
};

// For Operator::DescribeState().
StateDescription DescribeOpenRows(const OpenRowsState& state, const RowCodec& codec);

// encode: the bytes that RowCodec::EncodeBatch makes of the rows; called on the I/O pool, so it
// owns what it needs.
std::unique_ptr<Frozen> FreezeOpenRows(const OpenRowsState& state, const Schema& schema,
                                       std::function<std::string()> encode);

// The rows of all earlier instances that are this instance's, an empty batch if there are none.
// Those of one earlier instance keep their order. hash_keys, where given, fills the key hash column
// anew. FailedPrecondition says which snapshot cannot be read, and why. REQUIRES: during Open().
StatusOr<BatchPtr> TakeUpOpenRows(const OpenRowsState& state, const RowCodec& codec,
                                  const OperatorContext& context,
                                  const std::function<void(BatchBase&)>& hash_keys = nullptr);

}  // namespace weir
