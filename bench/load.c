/* Sends one request over and over on many connections at once, and times what comes back.
 *
 *     load PORT PATH BODY CONCURRENCY TOTAL FIRST LAST
 *
 * POSTs BODY to 127.0.0.1; the first 000000 in it becomes the number of the request. FIRST is the text whose arrival
 * counts as the first token, LAST the text without which a reply is not whole. Prints one line of JSON: errors, seconds, and the times to FIRST and to the end in milliseconds.
 * One thread, epoll.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SILENCE_MS 60000
#define PIECE 65536

typedef struct {
    int fd, busy;
    double sent, first;
    char *bytes;
    size_t length, capacity, head;
    long body; /* the content-length; -1 when the reply is chunked */
} Connection;

static char *request, *number;
static size_t request_length;
static int port, poller;
static const char *first, *last;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, int count, double share) {
    return count ? sorted[(int)(share * (count - 1) + 0.5)] : 0;
}

static void connect_to_server(Connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) {
        perror("load: connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
}

static void ask(Connection *c) {
    static int asked;
    char digits[16];
    if (number) memcpy(number, digits, sprintf(digits, "%06d", ++asked % 1000000));
    c->sent = now();
    c->first = 0;
    c->length = c->head = 0;
    c->body = -1;
    c->busy = 1;
    send(c->fd, request, request_length, MSG_NOSIGNAL);
}

/* Reads what there is. 0: more is to come, 1: the reply is whole, -1: the connection is gone. */
static int receive(Connection *c) {
    if (c->capacity - c->length <= PIECE) {
        c->capacity = 2 * c->capacity + 2 * PIECE;
        c->bytes = realloc(c->bytes, c->capacity);
        if (!c->bytes) abort();
    }
    ssize_t n = recv(c->fd, c->bytes + c->length, PIECE, 0);
    if (n <= 0) return -1;
    /* Look where the piece begins, and a little before: it may have cut the text that is looked for. */
    size_t from = c->length > 64 ? c->length - 64 : 0;
    c->length += n;
    c->bytes[c->length] = 0;
    if (!c->first && memmem(c->bytes + from, c->length - from, first, strlen(first))) c->first = now();
    if (!c->head) {
        char *end = memmem(c->bytes, c->length, "\r\n\r\n", 4);
        if (!end) return 0;
        c->head = end + 4 - c->bytes;
        char *field = strcasestr(c->bytes, "content-length:");
        if (field && field < end) c->body = strtol(field + 15, NULL, 10);
    }
    if (c->body >= 0) return c->length >= c->head + c->body;
    return c->length >= c->head + 5 && !memcmp(c->bytes + c->length - 5, "0\r\n\r\n", 5);
}

/* Whether the reply is a 200 that came to its end. */
static int whole(const Connection *c) {
    return c->length > 12 && !memcmp(c->bytes + 9, "200", 3) && c->first && memmem(c->bytes, c->length, last, strlen(last));
}

int main(int count, char **arguments) {
    if (count != 8) {
        fprintf(stderr, "usage: load PORT PATH BODY CONCURRENCY TOTAL FIRST LAST\n");
        return 2;
    }
    port = atoi(arguments[1]);
    int concurrency = atoi(arguments[4]), total = atoi(arguments[5]);
    first = arguments[6];
    last = arguments[7];
    request_length = asprintf(&request,
                              "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                              "Accept: text/event-stream\r\nContent-Length: %zu\r\n\r\n%s",
                              arguments[2], port, strlen(arguments[3]), arguments[3]);
    number = strstr(strstr(request, "\r\n\r\n"), "000000");
    poller = epoll_create1(0);
    Connection *connections = calloc(concurrency, sizeof *connections);
    double *to_first = calloc(total, sizeof(double)), *to_end = calloc(total, sizeof(double));
    int started = 0, done = 0, timed = 0, errors = 0;
    long bytes = 0;
    for (int i = 0; i < concurrency; i++) connect_to_server(&connections[i]);
    double begin = now();
    for (; started < concurrency && started < total; started++) ask(&connections[started]);
    struct epoll_event events[256];
    while (done < total) {
        int n = epoll_wait(poller, events, 256, SILENCE_MS);
        if (n == 0) {
            fprintf(stderr, "load: %d replies are missing and nothing came for %d s\n", total - done, SILENCE_MS / 1000);
            errors += total - done;
            break;
        }
        for (int i = 0; i < n; i++) {
            Connection *c = events[i].data.ptr;
            int state = receive(c);
            if (state == 0) continue;
            if (c->busy) {
                if (!whole(c) && errors++ == 0) fprintf(stderr, "load: a reply is not whole: %.600s\n", c->bytes);
                if (c->first) to_first[timed++] = (c->first - c->sent) * 1e3;
                to_end[done++] = (now() - c->sent) * 1e3;
                bytes += c->length;
            }
            c->busy = 0;
            if (state < 0) {
                close(c->fd);
                connect_to_server(c);
            }
            if (started < total) {
                ask(c);
                started++;
            }
        }
    }
    double seconds = now() - begin;
    qsort(to_first, timed, sizeof(double), ascending);
    qsort(to_end, done, sizeof(double), ascending);
    printf("{\"replies\":%d,\"errors\":%d,\"seconds\":%.3f,\"first_p50\":%.3f,\"first_p99\":%.3f,"
           "\"end_p50\":%.3f,\"end_p99\":%.3f,\"bytes\":%ld}\n",
           done, errors, seconds, percentile(to_first, timed, 0.5), percentile(to_first, timed, 0.99),
           percentile(to_end, done, 0.5), percentile(to_end, done, 0.99), bytes);
}
