#include "tests/operators/postgres_harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "core/check.h"

namespace weir::testing {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool ReadAll(int fd, char* to, size_t n) {
  while (n > 0) {
    const ssize_t got = read(fd, to, n);
    if (got <= 0) return false;
    to += got;
    n -= static_cast<size_t>(got);
  }
  return true;
}

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

uint32_t Length(const char* bytes) {
  uint32_t length;
  std::memcpy(&length, bytes, sizeof length);
  return ntohl(length);
}

// Reads what the server says up to where it waits for the client: for the next query, or for the
// rows of a COPY.
void AwaitReady(int server) {
  char head[5];
  while (ReadAll(server, head, 5)) {
    std::string rest(Length(head + 1) - 4, '\0');
    if (!ReadAll(server, rest.data(), rest.size()) || std::strchr("ZG", head[0]) != nullptr) {
      return;
    }
  }
}

}  // namespace

PostgresServer& PostgresServer::Get() {
  static PostgresServer* server = new PostgresServer;
  return *server;
}

PostgresServer::PostgresServer() {
  int in[2], out[2];
  WEIR_CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
  const pid_t pid = fork();
  WEIR_CHECK(pid >= 0);
  if (pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    execlp("python3", "python3", "-B", WEIR_SOURCE_DIR "/tests/system/postgres.py", nullptr);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_ = in[1];
  from_ = out[0];
  connection_ = ReadLine();
}

std::string PostgresServer::ReadLine() {
  std::string line;
  for (char c; ReadAll(from_, &c, 1) && c != '\n';) line.push_back(c);
  WEIR_CHECK(!line.empty());  // else the server did not start, and has said why
  return line;
}

void PostgresServer::Tell(const std::string& word) {
  const std::string line = word + "\n";
  WEIR_CHECK(write(to_, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  WEIR_CHECK(ReadLine() == "done");
}

int PostgresServer::port() const {
  return std::stoi(connection_.substr(connection_.find("port=") + 5));
}

std::string PostgresServer::ConnectionBy(int port) const {
  return fmt::format("{} port={} gssencmode=disable", connection_, port);
}

std::vector<std::string> PostgresServer::Sql(const std::string& statements) {
  PGconn* pg = PQconnectdb(connection_.c_str());
  PQsetNoticeProcessor(
      pg, [](void*, const char*) {}, nullptr);
  PGresult* result = PQexec(pg, statements.c_str());
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    fmt::print(stderr, "{}\n{}", statements, PQerrorMessage(pg));
    std::abort();
  }
  std::vector<std::string> rows;
  for (int r = 0; r < PQntuples(result); ++r) {
    std::string& row = rows.emplace_back();
    for (int c = 0; c < PQnfields(result); ++c) {
      row += fmt::format("{}{}", c == 0 ? "" : "|", PQgetvalue(result, r, c));
    }
  }
  PQclear(result);
  PQfinish(pg);
  return rows;
}

CuttingProxy::CuttingProxy(int server_port, int cut_at, Cut cut, bool refuses_then)
    : server_port_(server_port), cut_at_(cut_at), cut_(cut), refuses_then_(refuses_then) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  WEIR_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  WEIR_CHECK(listen(listener_, 16) == 0);
  socklen_t size = sizeof address;
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

CuttingProxy::~CuttingProxy() {
  stop_ = true;
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

void CuttingProxy::Run() {
  while (!stop_) {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    if (!has_cut_ || !refuses_then_) {
      const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address = Loopback(server_port_);
      if (connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
        Serve(client, server);
      }
      close(server);
    }
    close(client);
  }
}

std::optional<std::string> CuttingProxy::ReadMessage(int client, bool first) {
  const size_t head = first ? 4 : 5;  // the first message has no type
  std::string message(head, '\0');
  if (!ReadAll(client, message.data(), head)) return std::nullopt;
  message.resize(head - 4 + Length(message.data() + head - 4));
  if (!ReadAll(client, message.data() + head, message.size() - head)) return std::nullopt;
  return message;
}

void CuttingProxy::Serve(int client, int server) {
  const int at_once = 1;
  for (const int fd : {client, server}) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
  }
  bool first = true;
  std::string buffer(1 << 16, '\0');
  while (!stop_) {
    pollfd ready[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    if (poll(ready, 2, 20) <= 0) continue;
    if (ready[1].revents != 0) {
      const ssize_t n = read(server, buffer.data(), buffer.size());
      if (n <= 0 || !WriteAll(client, {buffer.data(), static_cast<size_t>(n)})) return;
    }
    if (ready[0].revents == 0) continue;
    const std::optional<std::string> message = ReadMessage(client, first);
    if (!message) return;
    if (!first && message->front() == 'Q') ++queries_;
    const bool cut = ++messages_ == cut_at_;
    if (cut && cut_ == Cut::kBefore) {
      has_cut_ = true;
      return;
    }
    if (cut && cut_ == Cut::kStall) {
      has_cut_ = true;
      while (!stop_) poll(ready, 1, 20);
      return;
    }
    if (!WriteAll(server, *message)) return;
    if (cut) {
      has_cut_ = true;
      // A query, the end of a COPY, a sync, and the first message are answered.
      if (first || std::strchr("QcS", (*message)[0]) != nullptr) AwaitReady(server);
      return;
    }
    first = false;
  }
}

BatchPtr PostgresEvents(const std::vector<PostgresEvent>& events, Timestamp time) {
  std::string text;
  for (const PostgresEvent& event : events) text += event.id + event.payload;
  SlabPtr slab = CopyToSlab(text);
  auto batch = std::make_unique<Batch<Event>>();
  size_t at = 0;
  for (const PostgresEvent& from : events) {
    Event event;
    event.id = slab->view().substr(at, from.id.size());
    event.payload = slab->view().substr(at + from.id.size(), from.payload.size());
    at += from.id.size() + from.payload.size();
    batch->Add(event, time);
  }
  batch->slabs().Add(slab);
  return batch;
}

std::vector<PostgresEvent> Numbered(int first, int last) {
  std::vector<PostgresEvent> events;
  for (int i = first; i < last; ++i) events.push_back({std::to_string(i)});
  return events;
}

PostgresInstance::PostgresInstance(SinkPlace place, std::string connection, Environment& env,
                                   PostgresSinkOptions options)
    : SinkUnderTest(
          env, place,
          [&] {
            options.connection =
                connection.empty() ? PostgresServer::Get().connection() : std::move(connection);
            if (options.table.empty()) options.table = "events";
            return options;
          }(),
          std::make_unique<EventCopyRows>(std::vector<EventColumn>{
              {EventMember::kId, "id"}, {EventMember::kPayload, "payload"}})) {}

}  // namespace weir::testing
