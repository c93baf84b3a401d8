// RawHttp: a connection to a server that sends exactly the bytes it is told, for tests of a server
// of HTTP. Waits at most 20 seconds for anything.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "runtime/net/address.h"

namespace weir::testing {

struct RawResponse {
  int status = 0;
  std::string head;
  std::string body;
};

class RawHttp {
 public:
  explicit RawHttp(const Address& server) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    WEIR_CHECK(fd_ >= 0);
    const timeval wait{20, 0};
    WEIR_CHECK(setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0);
    WEIR_CHECK(setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(server.port);
    WEIR_CHECK(inet_pton(AF_INET, server.host.c_str(), &to.sin_addr) == 1);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~RawHttp() { close(fd_); }
  RawHttp(const RawHttp&) = delete;

  bool connected() const { return connected_; }

  // False where the server has closed the connection.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void EndSending() { shutdown(fd_, SHUT_WR); }

  // The next response; nullopt where the connection ends before it, or nothing comes. `head_only`:
  // of a HEAD.
  std::optional<RawResponse> Read(bool head_only = false) {
    size_t end;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!ReadMore()) return std::nullopt;
    }
    RawResponse response;
    response.head = received_.substr(0, end + 2);
    received_.erase(0, end + 4);
    response.status = Number(response.head, " ");
    const int bytes = head_only || response.status == 100 ? 0 : Number(response.head, "Length: ");
    while (received_.size() < static_cast<size_t>(bytes)) {
      if (!ReadMore()) return std::nullopt;
    }
    response.body = received_.substr(0, static_cast<size_t>(bytes));
    received_.erase(0, static_cast<size_t>(bytes));
    return response;
  }
  // Whether the server has ended the connection, with nothing more to read.
  bool AtEnd() { return received_.empty() && !ReadMore() && ended_; }

 private:
  bool ReadMore() {
    char bytes[64 << 10];
    const ssize_t got = recv(fd_, bytes, sizeof(bytes), 0);
    if (got > 0) received_.append(bytes, static_cast<size_t>(got));
    ended_ = got == 0 || (got < 0 && errno == ECONNRESET);
    return got > 0;
  }
  static int Number(std::string_view text, std::string_view behind) {
    const size_t at = text.find(behind);
    int number = 0;
    if (at != text.npos) {
      const char* from = text.data() + at + behind.size();
      std::from_chars(from, text.data() + text.size(), number);
    }
    return number;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string received_;
};

// A whole request with what HTTP/1.1 demands of one.
inline std::string Request(std::string_view method, std::string_view path,
                           std::string_view body = "", std::string_view more_fields = "") {
  std::string text = std::string(method) + " " + std::string(path) + " HTTP/1.1\r\n";
  text += "Host: 127.0.0.1\r\n" + std::string(more_fields);
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + std::string(body);
}

// One request on a connection of its own; status 0 where no answer came.
inline RawResponse Ask(const Address& server, std::string_view method, std::string_view path,
                       std::string_view body = "", std::string_view more_fields = "") {
  RawHttp http(server);
  if (!http.Send(Request(method, path, body, more_fields))) return {};
  return http.Read(method == "HEAD").value_or(RawResponse());
}

}  // namespace weir::testing
