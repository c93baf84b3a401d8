// RestClient: asks a coordinator over HTTP (docs/rest.md). One thread; each call is a connection of
// its own, bounded in time.
//
// Errors are the coordinator's own, with its code and message; Unavailable also where nobody
// answers, with the address and what to do.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/limits.h"
#include "core/status.h"
#include "runtime/net/address.h"
#include "runtime/net/tls.h"

namespace weir::cli {

class RestClient {
 public:
  struct Options {
    Address coordinator;
    std::string token;                      // empty: none
    std::shared_ptr<const TlsContext> tls;  // null: in the clear
  };
  explicit RestClient(Options options) : options_(std::move(options)) {}

  const Address& coordinator() const { return options_.coordinator; }

  Status Get(const std::string& path, google::protobuf::Message& answer) const;
  Status Delete(const std::string& path, google::protobuf::Message& answer) const;
  Status Post(const std::string& path, const google::protobuf::Message& request,
              google::protobuf::Message& answer) const;
  Status Put(const std::string& path, const google::protobuf::Message& request,
             google::protobuf::Message& answer) const;
  // Sends bytes by their SHA-256, unless they are there already.
  Status SendBlob(const std::string& sha256, const std::string& bytes) const;
  // DataLoss if they are others than they should be.
  StatusOr<std::string> ReadBlob(const std::string& sha256) const;

 private:
  struct Answer {
    int status = 0;
    std::string body;
  };
  StatusOr<Answer> Ask(std::string_view method, const std::string& path, std::string body,
                       std::string_view content_type,
                       size_t answer_bytes_max = limits::kRestAnswerBytesMax) const;
  Status Call(std::string_view method, const std::string& path,
              const google::protobuf::Message* request, google::protobuf::Message* answer) const;
  Status ErrorOf(const Answer& answer, std::string_view method, const std::string& path) const;

  const Options options_;
};

}  // namespace weir::cli
