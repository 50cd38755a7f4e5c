#include "gpu/comm/rank_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "reference/error.h"

namespace pairedhead::gpu {
namespace {

// Small messages leave at once.
void send_without_delay(int descriptor) {
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int new_socket(int family) { return socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0); }

}  // namespace

RankSocket::~RankSocket() {
  if (open()) close(descriptor_);
}

RankSocket RankSocket::listen(std::uint16_t port) {
  RankSocket listening(new_socket(AF_INET));
  const int on = 1;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (!listening.open() ||
      setsockopt(listening.descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listening.descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0 ||
      ::listen(listening.descriptor_, SOMAXCONN) != 0) {
    throw InputError("ranks: expected port " + std::to_string(port) + " to be free, got \"" +
                     std::strerror(errno) + "\"");
  }
  return listening;
}

RankSocket RankSocket::accept(Clock::time_point deadline) const {
  if (!ready(POLLIN, deadline)) return {};
  RankSocket accepted(accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC));
  if (accepted.open()) send_without_delay(accepted.descriptor_);
  return accepted;
}

RankSocket RankSocket::call(const std::string& address, std::uint16_t port) {
  addrinfo hints = {};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) {
    throw InputError("environment: MASTER_ADDR: expected a machine's address, got \"" + address +
                     "\" (" + gai_strerror(error) + ")");
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    RankSocket socket(new_socket(entry->ai_family));
    if (!socket.open() || connect(socket.descriptor_, entry->ai_addr, entry->ai_addrlen) != 0) {
      continue;
    }
    send_without_delay(socket.descriptor_);
    return socket;
  }
  return {};
}

bool RankSocket::ready(short events, Clock::time_point deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waited = {.fd = descriptor_, .events = events, .revents = 0};
    const int found =
        poll(&waited, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (found > 0) return true;
    if (found < 0 && errno != EINTR) return false;
    if (left <= 0) return false;
  }
}

RankSocket::Result RankSocket::send(std::span<const std::byte> bytes,
                                    Clock::time_point deadline) const {
  while (!bytes.empty()) {
    if (!ready(POLLOUT, deadline)) return Result::late;
    const ssize_t sent =
        ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (sent <= 0) return Result::closed;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return Result::done;
}

RankSocket::Result RankSocket::receive(std::span<std::byte> bytes,
                                       Clock::time_point deadline) const {
  while (!bytes.empty()) {
    if (!ready(POLLIN, deadline)) return Result::late;
    const ssize_t got = recv(descriptor_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return Result::closed;
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return Result::done;
}

bool RankSocket::closed_by_other() const {
  std::byte one;
  const ssize_t got = recv(descriptor_, &one, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

}  // namespace pairedhead::gpu
