// An Output that keeps what it was given, for tests that call an operator by hand.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "operators/operator.h"

namespace weir::testing {

class RecordingOutput final : public Output {
 public:
  struct Rejected {
    std::string error;
    std::string record;
    Timestamp time;
  };
  struct Emitted {
    int port;
    BatchPtr batch;
  };

  void Emit(int port, BatchPtr batch) override {
    if (!batch->empty()) emitted.push_back({port, std::move(batch)});
  }
  void Reject(std::string_view error, std::string_view record, Timestamp time) override {
    rejected.push_back({std::string(error), std::string(record), time});
  }

  // All rows of a port so far, in order. Their views live as long as the batches do.
  template <class T>
  std::vector<T> Rows(int port = 0) const {
    std::vector<T> rows;
    for (const Emitted& e : emitted) {
      if (e.port != port) continue;
      auto values = Batch<T>::Of(std::as_const(*e.batch)).values();
      rows.insert(rows.end(), values.begin(), values.end());
    }
    return rows;
  }
  // How many rows each emitted batch has, all ports together.
  std::vector<size_t> Sizes() const {
    std::vector<size_t> sizes;
    for (const Emitted& e : emitted) sizes.push_back(e.batch->rows());
    return sizes;
  }
  void Clear() {
    emitted.clear();
    rejected.clear();
  }

  std::vector<Emitted> emitted;
  std::vector<Rejected> rejected;
};

}  // namespace weir::testing
