// How every operator calls user code for one row: what the code returns or throws becomes a Status,
// and a row that failed becomes a rejected record, with nothing else left behind.
//
// Used on the task's thread. Costs nothing while no row fails.
#pragma once

#include <exception>
#include <string_view>
#include <type_traits>

#include "core/codec.h"
#include "core/event.h"
#include "operators/operator.h"

namespace weir::internal {

template <class T>
inline constexpr bool kIsStatusOr = false;
template <class T>
inline constexpr bool kIsStatusOr<StatusOr<T>> = true;

// Runs body(), which returns a Status, and turns an exception into one.
template <class Body>
Status GuardedCall(Body&& body) {
  try {
    return body();
  } catch (const std::exception& e) {
    return absl::UnknownError(e.what());
  } catch (...) {
    return absl::UnknownError("an exception that is no std::exception");
  }
}

// The text that a dead letter has as its error.
inline std::string_view ErrorText(const Status& status) {
  if (status.message().empty()) return "the operator's function failed without a message";
  return {status.message().data(), status.message().size()};
}

// Rejects a row: an Event as its line, byte for byte, any other row as JSON.
template <class T>
void RejectRow(const T& row, Timestamp time, const Status& status, Output& out) {
  if constexpr (std::is_same_v<T, Event>) {
    out.Reject(ErrorText(status), row.payload, time);
  } else {
    JsonWriter record;
    Codec<T>::WriteJson(row, record);
    out.Reject(ErrorText(status), record.text(), time);
  }
}

}  // namespace weir::internal
