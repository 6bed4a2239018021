/* An OpenAI-compatible server that costs next to nothing, so that what it serves can be measured.
 *
 *     mock PORT
 *
 * The model's name says how it behaves: "mock-n200-i20000" streams 200 tokens, one every 20,000 microseconds (0: all at
 * once); with "tool" in its name it first calls the first tool of the request with {"city": "Paris"}, and streams once
 * the request has a tool's result. One thread, epoll; requests need a content-length. It listens on 127.0.0.1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 65536

typedef struct {
    char *bytes;
    size_t length, capacity;
} Buffer;

typedef struct {
    int fd;
    Buffer in, out;
    size_t sent;      /* bytes of out that the client has */
    int streaming;    /* whether tokens are still to come */
    int next, tokens; /* the next token, and how many there are */
    double due, interval;
    int usage; /* whether the request wants the usage */
} Client;

static Client *clients[MAX_FD];
static int highest, poller;
static long requests;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void reserve(Buffer *b, size_t more) {
    if (b->length + more < b->capacity) return;
    b->capacity = 2 * (b->length + more);
    b->bytes = realloc(b->bytes, b->capacity);
    if (!b->bytes) abort();
}

static void add(Buffer *b, const char *bytes, size_t length) {
    reserve(b, length);
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

static void watch(Client *c, int operation, unsigned events) {
    struct epoll_event e = {.events = events, .data.fd = c->fd};
    epoll_ctl(poller, operation, c->fd, &e);
}

static void forget(Client *c) {
    close(c->fd);
    clients[c->fd] = NULL;
    free(c->in.bytes);
    free(c->out.bytes);
    free(c);
}

static void flush(Client *c) {
    while (c->sent < c->out.length) {
        ssize_t n = send(c->fd, c->out.bytes + c->sent, c->out.length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        }
        c->sent += n;
    }
    c->sent = c->out.length = 0;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* One server-sent event as one chunk; the format gives the end of the chat.completion.chunk object. */
__attribute__((format(printf, 2, 3))) static void event(Client *c, const char *format, ...) {
    char text[2048], head[32];
    int n = sprintf(text,
                    "data: {\"id\":\"chatcmpl-%ld\",\"object\":\"chat.completion.chunk\",\"created\":1763600000,"
                    "\"model\":\"mock\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\",",
                    requests);
    va_list arguments;
    va_start(arguments, format);
    n += vsnprintf(text + n, sizeof text - n - 4, format, arguments);
    va_end(arguments);
    n += sprintf(text + n, "}\n\n");
    add(&c->out, head, sprintf(head, "%x\r\n", n));
    add(&c->out, text, n);
    add(&c->out, "\r\n", 2);
}

static void delta(Client *c, const char *fields) {
    event(c, "\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":null}]", fields);
}

static void token(Client *c) {
    char fields[64];
    sprintf(fields, "\"content\":\"tok%d \"", c->next++);
    delta(c, fields);
}

static void finish(Client *c, const char *reason) {
    event(c, "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}]", reason);
    if (c->usage)
        event(c, "\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":%d,\"total_tokens\":%d}",
              c->next, c->next + 20);
    const char *end = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    add(&c->out, end, strlen(end));
    c->streaming = 0;
}

/* The string value of the first "key" after from; empty when there is none. */
static void string_after(const char *from, const char *key, char *value, size_t size) {
    const char *at = from ? strstr(from, key) : NULL, *end;
    value[0] = 0;
    if (!at || !(at = strchr(at + strlen(key), ':')) || !(at = strchr(at, '"')) || !(end = strchr(++at, '"'))) return;
    snprintf(value, size, "%.*s", (int)(end - at), at);
}

static int number_after(const char *text, const char *key, int otherwise) {
    const char *at = strstr(text, key);
    return at ? atoi(at + strlen(key)) : otherwise;
}

static void call_tool(Client *c, const char *name) {
    char fields[256];
    snprintf(fields, sizeof fields,
             "\"tool_calls\":[{\"index\":0,\"id\":\"call_%ld\",\"type\":\"function\","
             "\"function\":{\"name\":\"%s\",\"arguments\":\"\"}}]",
             requests, name);
    delta(c, fields);
    delta(c, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\": \"}}]");
    delta(c, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"Paris\\\"}\"}}]");
    finish(c, "tool_calls");
}

static void answer(Client *c, const char *body) {
    const char *head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                       "transfer-encoding: chunked\r\n\r\n";
    char model[128], tool[128];
    requests++;
    string_after(body, "\"model\"", model, sizeof model);
    string_after(strstr(body, "\"tools\""), "\"name\"", tool, sizeof tool);
    c->usage = strstr(body, "\"include_usage\":true") || strstr(body, "\"include_usage\": true");
    c->next = 0;
    c->tokens = number_after(model, "-n", 200);
    c->interval = number_after(model, "-i", 0) * 1e-6;
    c->streaming = 1;
    c->due = now() + c->interval;
    add(&c->out, head, strlen(head));
    delta(c, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    int answered = strstr(body, "\"role\":\"tool\"") || strstr(body, "\"role\": \"tool\"");
    if (strstr(model, "tool") && tool[0] && !answered) call_tool(c, tool);
}

static void stream(Client *c, double time) {
    size_t before = c->out.length;
    while (c->next < c->tokens && c->due <= time) {
        token(c);
        c->due += c->interval;
    }
    if (c->next == c->tokens) finish(c, "stop");
    if (c->out.length > before) flush(c);
}

/* Answer every whole request that has come. */
static void read_requests(Client *c) {
    for (;;) {
        reserve(&c->in, 1);
        c->in.bytes[c->in.length] = 0;
        char *end = strstr(c->in.bytes, "\r\n\r\n");
        if (!end || c->streaming) return;
        char *field = strcasestr(c->in.bytes, "content-length:");
        size_t head = end + 4 - c->in.bytes, body = field && field < end ? strtoul(field + 15, NULL, 10) : 0;
        if (c->in.length < head + body) return;
        char kept = c->in.bytes[head + body];
        c->in.bytes[head + body] = 0;
        answer(c, c->in.bytes + head);
        c->in.bytes[head + body] = kept;
        c->in.length -= head + body;
        memmove(c->in.bytes, c->in.bytes + head + body, c->in.length);
        if (c->streaming) stream(c, c->interval > 0 ? now() : 1e18);
        flush(c);
    }
}

static void receive(Client *c) {
    for (;;) {
        reserve(&c->in, 65536);
        ssize_t n = recv(c->fd, c->in.bytes + c->in.length, 65536, MSG_DONTWAIT);
        if (n > 0) {
            c->in.length += n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            forget(c);
            return;
        } else {
            break;
        }
    }
    read_requests(c);
}

static void take(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        clients[fd] = calloc(1, sizeof(Client));
        clients[fd]->fd = fd;
        if (fd > highest) highest = fd;
        watch(clients[fd], EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int any_streaming(void) {
    for (int fd = 0; fd <= highest; fd++)
        if (clients[fd] && clients[fd]->streaming) return 1;
    return 0;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: mock PORT\n");
        return 2;
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("mock");
        return 1;
    }
    poller = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[1024];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(poller, events, 1024, any_streaming() ? 1 : -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) take(listener);
            else if (clients[fd] && events[i].events & EPOLLOUT) flush(clients[fd]);
            if (fd != listener && clients[fd] && events[i].events & ~EPOLLOUT) receive(clients[fd]);
        }
        double time = now();
        for (int fd = 0; fd <= highest; fd++)
            if (clients[fd] && clients[fd]->streaming) stream(clients[fd], time);
    }
}
