#include "cli/security.h"

#include <fmt/format.h>

#include "core/environment.h"
#include "runtime/limits.h"

namespace weir::cli {
namespace {

// Of the network thread.
class RefusalLog {
 public:
  explicit RefusalLog(std::function<void(std::string_view)> log) : log_(std::move(log)) {}

  void Add(const Address& peer, const Status& why, int64_t now_micros) {
    if (now_micros - since_ > limits::kRefusalPeriod) {
      if (count_ > limits::kRefusalLinesMax) {
        log_(fmt::format("refused {} more requests", count_ - limits::kRefusalLinesMax));
      }
      since_ = now_micros;
      count_ = 0;
    }
    if (++count_ > limits::kRefusalLinesMax) return;
    log_(fmt::format("refused a request of {}: {}", peer.ToString(), std::string(why.message())));
  }

 private:
  const std::function<void(std::string_view)> log_;
  int64_t since_ = 0;
  size_t count_ = 0;
};

}  // namespace

StatusOr<Security> OpenSecurity(const SecurityOptions& options,
                                const std::vector<std::pair<std::string_view, Address>>& addresses,
                                std::function<void(std::string_view line)> log) {
  for (const auto& [flag, address] : addresses) {
    WEIR_RETURN_IF_ERROR(CheckListenAddress(flag, address, options));
  }
  Security security;
  WEIR_ASSIGN_OR_RETURN(security.tls, LoadMemberTls(options));
  if (options.token_file.empty()) return security;
  WEIR_ASSIGN_OR_RETURN(security.tokens, TokenAuthority::Open(options.token_file, std::move(log)));
  return security;
}

void Apply(const Security& security, RestServer::Options& options) {
  options.tls = security.tls;
  if (security.tokens == nullptr) return;
  options.authorize = [tokens = security.tokens,
                       refusals = std::make_shared<RefusalLog>(options.log)](
                          const HttpRequest& head, Role role) {
    Clock& clock = RealEnvironment().clock;
    const Status status = tokens->CheckHeader(head.authorization, role, clock.Now()).status();
    if (!status.ok()) refusals->Add(head.peer, status, clock.MonotonicMicros());
    return status;
  };
}

}  // namespace weir::cli
