#include "cli/security.h"

#include <fmt/format.h>

#include "core/environment.h"
#include "runtime/limits.h"
#include "runtime/net/refusal_log.h"

namespace weir::cli {
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
                       refusals = std::make_shared<RefusalLog>(
                           options.log, "refused {} more requests", limits::kRefusalLinesMax,
                           limits::kRefusalPeriod)](const HttpRequest& head, Role role) {
    Clock& clock = RealEnvironment().clock;
    const Status status = tokens->CheckHeader(head.authorization, role, clock.Now()).status();
    if (!status.ok()) {
      refusals->Add(fmt::format("refused a request of {}: {}", head.peer.ToString(),
                                std::string(status.message())),
                    clock.MonotonicMicros());
    }
    return status;
  };
}

}  // namespace weir::cli
