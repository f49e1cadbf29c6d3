/* hotloop in C: canonical JSON (RFC 8785), cache keys, and the hot cache.
 *
 * Build:  cargo build --release -p hotloop-capi      (target/release/libhotloop.so, .dylib or hotloop.dll)
 *
 * Rules that hold for every function
 *
 * - It returns a hotloop_code; what it computes goes through the last arguments, which are written on success only,
 *   but for a hotloop_bytes, which is empty then. Codes below 100 are no errors.
 * - hotloop_last_error() tells what the last error of this thread was.
 * - Memory that is passed in is borrowed until the function returns; nothing of it is kept, nothing of it is freed.
 *   A pointer may be NULL where its length is 0. All text is UTF-8 and counted, not ended by a zero.
 * - Handles (hotloop_chain *, hotloop_cache *) are tickets, not addresses: never follow one. Each is freed once, with
 *   the _free of its kind; NULL, a ticket freed before and one of another kind are HOTLOOP_BAD_HANDLE, never a crash.
 * - hotloop_bytes belong to the caller and are given back with hotloop_bytes_free().
 * - Every function may be called from any thread at any time, also with one handle from many threads, and while
 *   another thread frees that handle.
 * - No error, and no bug in the library, unwinds or jumps through the caller. Running out of memory ends the process.
 *
 * After the lines that begin with '#' are taken out, cffi's cdef() reads this file as it is.
 */
#ifndef HOTLOOP_H
#define HOTLOOP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a function returns. New codes may be added; each stays in its band. */
typedef int32_t hotloop_code;
enum {
    /* 0 to 99: no error */
    HOTLOOP_OK = 0,
    HOTLOOP_ABSENT = 1, /* the cache has no such entry */
    /* 100 to 199: what the arguments say */
    HOTLOOP_NOT_CANONICAL = 100, /* not JSON, or a value without a canonical form */
    HOTLOOP_NOT_UTF8 = 101,      /* a text that is not UTF-8 */
    HOTLOOP_OUT_OF_RANGE = 102,  /* a number outside its range, an unknown kind of key, a digest that has not 32 bytes */
    /* 200 to 299: what the arguments point to */
    HOTLOOP_NULL = 200,       /* NULL where memory is needed */
    HOTLOOP_MISALIGNED = 201, /* a pointer to a structure that is not aligned */
    HOTLOOP_TOO_LARGE = 202,  /* a length that no object in memory can have */
    HOTLOOP_BAD_HANDLE = 203, /* a handle that was never given out, was freed, or is of another kind */
    HOTLOOP_BAD_BYTES = 204,  /* hotloop_bytes that were not filled by the library, or changed since */
    /* 300 and above: the library */
    HOTLOOP_INTERNAL = 300 /* a bug; what it was doing is left as it was or undone */
};

/* Grows with each change that breaks callers. This header is of version 1. */
uint32_t hotloop_abi_version(void);

/* The version of the library, as in "0.1.0". Static memory. */
const char *hotloop_version(void);

/* The last error of this thread, in words, as in "$.messages[3].content: expected a value ..."; "" before the first.
 * Valid until the next function of this library fails on this thread, or the thread ends. */
const char *hotloop_last_error(void);

/* ---- bytes that the library gives ---- */

/* Read `data` and `len`, change nothing. Copies of the structure are one and the same memory: free one of them. */
typedef struct hotloop_bytes {
    const uint8_t *data;
    size_t len;
    uint64_t seal;
} hotloop_bytes;

/* Gives bytes back and empties the structure, so that freeing it again does nothing. So does freeing an empty one
 * ({0}); a structure with anything else in it is HOTLOOP_BAD_BYTES. */
hotloop_code hotloop_bytes_free(hotloop_bytes *bytes);

/* ---- canonical JSON ---- */

/* The canonical form (RFC 8785) of JSON text. */
hotloop_code hotloop_canonicalize(const uint8_t *text, size_t text_len, hotloop_bytes *form);

/* ---- keys ---- */

typedef struct hotloop_text {
    const char *data;
    size_t len;
} hotloop_text;

typedef struct hotloop_header {
    hotloop_text name;
    hotloop_text value;
} hotloop_header;

/* Everything about a request but its body. NULL in place of one stands for one of zeros: nothing known. */
typedef struct hotloop_scope {
    hotloop_text url;
    hotloop_text tenant; /* any bytes, also not UTF-8; commonly a keyed hash of the credential */
    hotloop_text name_space;
    const hotloop_header *headers; /* any order, any case; names and values may be any bytes */
    size_t header_count;
} hotloop_scope;

/* The key of the value that a JSON text stands for: 32 bytes into `key`. */
hotloop_code hotloop_cache_key(const uint8_t *text, size_t text_len, hotloop_text name_space, uint8_t *key);

/* The key of a request whose body is the JSON text: 32 bytes into `key`. */
hotloop_code hotloop_request_key(const uint8_t *body, size_t body_len, const hotloop_scope *scope, uint8_t *key);

/* The same key, one message at a time. */
typedef struct hotloop_chain hotloop_chain;

/* Starts a chain with a head: the JSON text of a body without its messages, or with the first of them. */
hotloop_code hotloop_chain_new(const uint8_t *head, size_t head_len, const hotloop_scope *scope, hotloop_chain **chain);
/* Adds the message that a JSON text stands for; where that fails, the chain is as it was. */
hotloop_code hotloop_chain_append(hotloop_chain *chain, const uint8_t *message, size_t message_len);
/* The key of the request as it stands: 32 bytes into `key`. */
hotloop_code hotloop_chain_digest(hotloop_chain *chain, uint8_t *key);
/* How many messages it has. */
hotloop_code hotloop_chain_len(hotloop_chain *chain, uint64_t *len);
/* A chain that goes on from here by itself, to be freed by itself. */
hotloop_code hotloop_chain_fork(hotloop_chain *chain, hotloop_chain **fork);
hotloop_code hotloop_chain_free(hotloop_chain *chain);

/* ---- hot cache: byte values, bounded, with expiry ---- */

typedef struct hotloop_cache hotloop_cache;

/* What a key of the cache is. Keys of different kinds are never equal. */
enum {
    HOTLOOP_DIGEST = 0, /* 32 bytes */
    HOTLOOP_TEXT = 1    /* UTF-8 text of any length */
};

typedef struct hotloop_cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint64_t expirations;
    uint64_t size;     /* entries held */
    uint64_t capacity; /* entries it may hold */
    uint64_t bytes;    /* the lengths of the values held, added up */
} hotloop_cache_stats;

/* `capacity`: entries it may hold, 1 to 2^31. `ttl`: seconds for which an entry is served; 0 or infinity: no limit.
 * `max_bytes`: what the lengths of the values may add up to; 0: no limit. */
hotloop_code hotloop_cache_new(uint64_t capacity, double ttl, uint64_t max_bytes, hotloop_cache **cache);
/* Stores a copy of `value` in the place of any older one of the key; others may be evicted for it. One longer than
 * `max_bytes` is not stored, and takes the older one with it. `ttl`: seconds; 0: the cache's own; infinity: no limit. */
hotloop_code hotloop_cache_put(hotloop_cache *cache, int32_t kind, const uint8_t *key, size_t key_len,
                               const uint8_t *value, size_t value_len, double ttl);
/* The live value of a key, shared with the cache and not copied: it stays as it is until it is freed, whatever becomes
 * of the entry and of the cache. HOTLOOP_ABSENT where there is none. */
hotloop_code hotloop_cache_get(hotloop_cache *cache, int32_t kind, const uint8_t *key, size_t key_len,
                               hotloop_bytes *value);
/* The same, and takes the entry out. */
hotloop_code hotloop_cache_pop(hotloop_cache *cache, int32_t kind, const uint8_t *key, size_t key_len,
                               hotloop_bytes *value);
/* How many entries it holds. */
hotloop_code hotloop_cache_len(hotloop_cache *cache, uint64_t *len);
/* Drops every entry; the counters go on. */
hotloop_code hotloop_cache_clear(hotloop_cache *cache);
hotloop_code hotloop_cache_get_stats(hotloop_cache *cache, hotloop_cache_stats *stats);
hotloop_code hotloop_cache_free(hotloop_cache *cache);

#ifdef __cplusplus
}
#endif

#endif
