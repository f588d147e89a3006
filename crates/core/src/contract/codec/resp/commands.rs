//! The commands of Redis and Valkey: how many arguments, and where their keys are.
//!
//! Facts of the public command reference, in the terms of `COMMAND INFO`; the interop suite compares
//! them with a real server's. A command that is not here has keys only where a contract says so.

use crate::rejection::{Reason, Violation};

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// Words, the name included; a negative number is the fewest.
    arity: i8,
    pub(super) keys: Keys,
}

/// Where the keys of a command are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// It has none.
    None,
    /// In fixed places.
    At(Positions),
    /// Behind these of its subcommands.
    Sub(&'static [&'static str]),
    /// So many as the word `at` says, behind it; and the one at `into`.
    Counted { at: usize, into: Option<usize> },
    /// `XREAD` and `XREADGROUP`.
    Streams,
    /// `SORT`.
    Sort,
    /// `GEORADIUS`.
    Radius,
    /// `MIGRATE`.
    Migrate,
}

/// Places of keys as `COMMAND INFO` gives them: the name is 0, a negative `last` counts from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Positions {
    pub(crate) first: u8,
    pub(crate) last: i8,
    pub(crate) step: u8,
}

/// They change what replies mean, so that pairing would break.
pub(super) const ALWAYS_REFUSED: [&str; 4] = ["MONITOR", "PSYNC", "REPLCONF", "SYNC"];
/// The same of one subcommand.
pub(super) const ALWAYS_REFUSED_SUBS: [(&str, &str); 2] =
    [("CLIENT", "REPLY"), ("CLIENT", "TRACKING")];
/// They run code, reach beyond their keys, or stop or change the whole service.
pub(super) const HAZARDS: [&str; 31] = [
    "ACL",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLUSTER",
    "CONFIG",
    "COPY",
    "DEBUG",
    "EVAL",
    "EVALSHA",
    "EVALSHA_RO",
    "EVAL_RO",
    "FAILOVER",
    "FCALL",
    "FCALL_RO",
    "FLUSHALL",
    "FLUSHDB",
    "FUNCTION",
    "KEYS",
    "MIGRATE",
    "MODULE",
    "MOVE",
    "REPLICAOF",
    "RESTORE",
    "SAVE",
    "SCRIPT",
    "SHUTDOWN",
    "SLAVEOF",
    "SORT",
    "SORT_RO",
    "SWAPDB",
    "SELECT",
];
/// The same of one subcommand: they end, hold up or wake other connections.
pub(super) const HAZARD_SUBS: [(&str, &str); 5] = [
    ("CLIENT", "KILL"),
    ("CLIENT", "NO-EVICT"),
    ("CLIENT", "PAUSE"),
    ("CLIENT", "UNBLOCK"),
    ("CLIENT", "UNPAUSE"),
];
/// Their first argument is a subcommand.
pub(super) const CONTAINERS: [&str; 16] = [
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY",
    "MODULE", "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO",
];
/// Their reply may be long in coming.
pub(super) const BLOCKING: [&str; 12] = [
    "BLMOVE",
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "WAIT",
    "WAITAOF",
    "XREAD",
    "XREADGROUP",
];
/// Their arguments are passwords.
pub(super) const SECRET: [&str; 2] = ["AUTH", "HELLO"];
/// Their first argument is a channel.
pub(super) const PUBLISHING: [&str; 2] = ["PUBLISH", "SPUBLISH"];

const NONE: Keys = Keys::None;
/// One key, behind the name.
const ONE: Keys = at(1, 1, 1);
/// Two keys, behind the name.
const TWO: Keys = at(1, 2, 1);
/// Every argument is a key.
const ALL: Keys = at(1, -1, 1);

/// The table, sorted by name.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    c("ACL", -2, NONE),
    c("APPEND", 3, ONE),
    c("AUTH", -2, NONE),
    c("BGREWRITEAOF", 1, NONE),
    c("BGSAVE", -1, NONE),
    c("BITCOUNT", -2, ONE),
    c("BITFIELD", -2, ONE),
    c("BITFIELD_RO", -2, ONE),
    c("BITOP", -4, at(2, -1, 1)),
    c("BITPOS", -3, ONE),
    c("BLMOVE", 6, TWO),
    c("BLMPOP", -5, counted(2, None)),
    c("BLPOP", -3, at(1, -2, 1)),
    c("BRPOP", -3, at(1, -2, 1)),
    c("BRPOPLPUSH", 4, TWO),
    c("BZMPOP", -5, counted(2, None)),
    c("BZPOPMAX", -3, at(1, -2, 1)),
    c("BZPOPMIN", -3, at(1, -2, 1)),
    c("CLIENT", -2, NONE),
    c("CLUSTER", -2, NONE),
    c("COMMAND", -1, NONE),
    c("CONFIG", -2, NONE),
    c("COPY", -3, TWO),
    c("DBSIZE", 1, NONE),
    c("DEBUG", -2, NONE),
    c("DECR", 2, ONE),
    c("DECRBY", 3, ONE),
    c("DEL", -2, ALL),
    c("DISCARD", 1, NONE),
    c("DUMP", 2, ONE),
    c("ECHO", 2, NONE),
    c("EVAL", -3, counted(2, None)),
    c("EVALSHA", -3, counted(2, None)),
    c("EVALSHA_RO", -3, counted(2, None)),
    c("EVAL_RO", -3, counted(2, None)),
    c("EXEC", 1, NONE),
    c("EXISTS", -2, ALL),
    c("EXPIRE", -3, ONE),
    c("EXPIREAT", -3, ONE),
    c("EXPIRETIME", 2, ONE),
    c("FAILOVER", -1, NONE),
    c("FCALL", -3, counted(2, None)),
    c("FCALL_RO", -3, counted(2, None)),
    c("FLUSHALL", -1, NONE),
    c("FLUSHDB", -1, NONE),
    c("FUNCTION", -2, NONE),
    c("GEOADD", -5, ONE),
    c("GEODIST", -4, ONE),
    c("GEOHASH", -2, ONE),
    c("GEOPOS", -2, ONE),
    c("GEORADIUS", -6, Keys::Radius),
    c("GEORADIUSBYMEMBER", -5, Keys::Radius),
    c("GEORADIUSBYMEMBER_RO", -5, ONE),
    c("GEORADIUS_RO", -6, ONE),
    c("GEOSEARCH", -7, ONE),
    c("GEOSEARCHSTORE", -8, TWO),
    c("GET", 2, ONE),
    c("GETBIT", 3, ONE),
    c("GETDEL", 2, ONE),
    c("GETEX", -2, ONE),
    c("GETRANGE", 4, ONE),
    c("GETSET", 3, ONE),
    c("HDEL", -3, ONE),
    c("HELLO", -1, NONE),
    c("HEXISTS", 3, ONE),
    c("HEXPIRE", -6, ONE),
    c("HEXPIREAT", -6, ONE),
    c("HEXPIRETIME", -5, ONE),
    c("HGET", 3, ONE),
    c("HGETALL", 2, ONE),
    c("HGETDEL", -5, ONE),
    c("HGETEX", -5, ONE),
    c("HINCRBY", 4, ONE),
    c("HINCRBYFLOAT", 4, ONE),
    c("HKEYS", 2, ONE),
    c("HLEN", 2, ONE),
    c("HMGET", -3, ONE),
    c("HMSET", -4, ONE),
    c("HPERSIST", -5, ONE),
    c("HPEXPIRE", -6, ONE),
    c("HPEXPIREAT", -6, ONE),
    c("HPEXPIRETIME", -5, ONE),
    c("HPTTL", -5, ONE),
    c("HRANDFIELD", -2, ONE),
    c("HSCAN", -3, ONE),
    c("HSET", -4, ONE),
    c("HSETEX", -6, ONE),
    c("HSETNX", 4, ONE),
    c("HSTRLEN", 3, ONE),
    c("HTTL", -5, ONE),
    c("HVALS", 2, ONE),
    c("INCR", 2, ONE),
    c("INCRBY", 3, ONE),
    c("INCRBYFLOAT", 3, ONE),
    c("INFO", -1, NONE),
    c("KEYS", 2, NONE),
    c("LASTSAVE", 1, NONE),
    c("LATENCY", -2, NONE),
    c("LCS", -3, TWO),
    c("LINDEX", 3, ONE),
    c("LINSERT", 5, ONE),
    c("LLEN", 2, ONE),
    c("LMOVE", 5, TWO),
    c("LMPOP", -4, counted(1, None)),
    c("LOLWUT", -1, NONE),
    c("LPOP", -2, ONE),
    c("LPOS", -3, ONE),
    c("LPUSH", -3, ONE),
    c("LPUSHX", -3, ONE),
    c("LRANGE", 4, ONE),
    c("LREM", 4, ONE),
    c("LSET", 4, ONE),
    c("LTRIM", 4, ONE),
    c("MEMORY", -2, sub(&["USAGE"])),
    c("MGET", -2, ALL),
    c("MIGRATE", -6, Keys::Migrate),
    c("MODULE", -2, NONE),
    c("MOVE", 3, ONE),
    c("MSET", -3, at(1, -1, 2)),
    c("MSETNX", -3, at(1, -1, 2)),
    c("MULTI", 1, NONE),
    c("OBJECT", -2, sub(&["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"])),
    c("PERSIST", 2, ONE),
    c("PEXPIRE", -3, ONE),
    c("PEXPIREAT", -3, ONE),
    c("PEXPIRETIME", 2, ONE),
    c("PFADD", -2, ONE),
    c("PFCOUNT", -2, ALL),
    c("PFMERGE", -2, ALL),
    c("PING", -1, NONE),
    c("PSETEX", 4, ONE),
    c("PSUBSCRIBE", -2, NONE),
    c("PTTL", 2, ONE),
    c("PUBLISH", 3, NONE),
    c("PUBSUB", -2, NONE),
    c("PUNSUBSCRIBE", -1, NONE),
    c("QUIT", -1, NONE),
    c("RANDOMKEY", 1, NONE),
    c("READONLY", 1, NONE),
    c("READWRITE", 1, NONE),
    c("RENAME", 3, TWO),
    c("RENAMENX", 3, TWO),
    c("REPLICAOF", 3, NONE),
    c("RESET", 1, NONE),
    c("RESTORE", -4, ONE),
    c("ROLE", 1, NONE),
    c("RPOP", -2, ONE),
    c("RPOPLPUSH", 3, TWO),
    c("RPUSH", -3, ONE),
    c("RPUSHX", -3, ONE),
    c("SADD", -3, ONE),
    c("SAVE", 1, NONE),
    c("SCAN", -2, NONE),
    c("SCARD", 2, ONE),
    c("SCRIPT", -2, NONE),
    c("SDIFF", -2, ALL),
    c("SDIFFSTORE", -3, ALL),
    c("SELECT", 2, NONE),
    c("SET", -3, ONE),
    c("SETBIT", 4, ONE),
    c("SETEX", 4, ONE),
    c("SETNX", 3, ONE),
    c("SETRANGE", 4, ONE),
    c("SHUTDOWN", -1, NONE),
    c("SINTER", -2, ALL),
    c("SINTERCARD", -3, counted(1, None)),
    c("SINTERSTORE", -3, ALL),
    c("SISMEMBER", 3, ONE),
    c("SLAVEOF", 3, NONE),
    c("SLOWLOG", -2, NONE),
    c("SMEMBERS", 2, ONE),
    c("SMISMEMBER", -3, ONE),
    c("SMOVE", 4, TWO),
    c("SORT", -2, Keys::Sort),
    c("SORT_RO", -2, Keys::Sort),
    c("SPOP", -2, ONE),
    c("SPUBLISH", 3, NONE),
    c("SRANDMEMBER", -2, ONE),
    c("SREM", -3, ONE),
    c("SSCAN", -3, ONE),
    c("SSUBSCRIBE", -2, NONE),
    c("STRLEN", 2, ONE),
    c("SUBSCRIBE", -2, NONE),
    c("SUBSTR", 4, ONE),
    c("SUNION", -2, ALL),
    c("SUNIONSTORE", -3, ALL),
    c("SUNSUBSCRIBE", -1, NONE),
    c("SWAPDB", 3, NONE),
    c("TIME", 1, NONE),
    c("TOUCH", -2, ALL),
    c("TTL", 2, ONE),
    c("TYPE", 2, ONE),
    c("UNLINK", -2, ALL),
    c("UNSUBSCRIBE", -1, NONE),
    c("UNWATCH", 1, NONE),
    c("WAIT", 3, NONE),
    c("WAITAOF", 4, NONE),
    c("WATCH", -2, ALL),
    c("XACK", -4, ONE),
    c("XADD", -5, ONE),
    c("XAUTOCLAIM", -6, ONE),
    c("XCLAIM", -6, ONE),
    c("XDEL", -3, ONE),
    c("XGROUP", -2, sub(&["CREATE", "CREATECONSUMER", "DELCONSUMER", "DESTROY", "SETID"])),
    c("XINFO", -2, sub(&["CONSUMERS", "GROUPS", "STREAM"])),
    c("XLEN", 2, ONE),
    c("XPENDING", -3, ONE),
    c("XRANGE", -4, ONE),
    c("XREAD", -4, Keys::Streams),
    c("XREADGROUP", -7, Keys::Streams),
    c("XREVRANGE", -4, ONE),
    c("XSETID", -3, ONE),
    c("XTRIM", -4, ONE),
    c("ZADD", -4, ONE),
    c("ZCARD", 2, ONE),
    c("ZCOUNT", 4, ONE),
    c("ZDIFF", -3, counted(1, None)),
    c("ZDIFFSTORE", -4, counted(2, Some(1))),
    c("ZINCRBY", 4, ONE),
    c("ZINTER", -3, counted(1, None)),
    c("ZINTERCARD", -3, counted(1, None)),
    c("ZINTERSTORE", -4, counted(2, Some(1))),
    c("ZLEXCOUNT", 4, ONE),
    c("ZMPOP", -4, counted(1, None)),
    c("ZMSCORE", -3, ONE),
    c("ZPOPMAX", -2, ONE),
    c("ZPOPMIN", -2, ONE),
    c("ZRANDMEMBER", -2, ONE),
    c("ZRANGE", -4, ONE),
    c("ZRANGEBYLEX", -4, ONE),
    c("ZRANGEBYSCORE", -4, ONE),
    c("ZRANGESTORE", -5, TWO),
    c("ZRANK", 3, ONE),
    c("ZREM", -3, ONE),
    c("ZREMRANGEBYLEX", 4, ONE),
    c("ZREMRANGEBYRANK", 4, ONE),
    c("ZREMRANGEBYSCORE", 4, ONE),
    c("ZREVRANGE", -4, ONE),
    c("ZREVRANGEBYLEX", -4, ONE),
    c("ZREVRANGEBYSCORE", -4, ONE),
    c("ZREVRANK", 3, ONE),
    c("ZSCAN", -3, ONE),
    c("ZSCORE", 3, ONE),
    c("ZUNION", -3, counted(1, None)),
    c("ZUNIONSTORE", -4, counted(2, Some(1))),
];

/// A command by its name in upper case.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    let at = COMMANDS.binary_search_by(|command| command.name.cmp(name)).ok()?;
    COMMANDS.get(at)
}

impl Command {
    /// # Errors
    /// `size`, if a command of so many words does not exist.
    pub(super) fn check_arity(&self, words: usize) -> Result<(), Violation> {
        let least = usize::from(self.arity.unsigned_abs());
        let good = if self.arity < 0 { words >= least } else { words == least };
        if good {
            return Ok(());
        }
        let (name, more) = (self.name, if self.arity < 0 { " or more" } else { "" });
        let sentence = format!("`{name}` of {words} words; it has {least}{more}");
        Err(Violation::new(Reason::Size, sentence))
    }
}

const fn c(name: &'static str, arity: i8, keys: Keys) -> Command {
    Command { name, arity, keys }
}

const fn at(first: u8, last: i8, step: u8) -> Keys {
    Keys::At(Positions { first, last, step })
}

const fn sub(subs: &'static [&'static str]) -> Keys {
    Keys::Sub(subs)
}

const fn counted(at: usize, into: Option<usize>) -> Keys {
    Keys::Counted { at, into }
}
