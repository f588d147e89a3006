// What ioredis makes of answers, refusals and pushes: `node ioredis_client.js WHAT PORT..` prints one JSON value.
"use strict";

const Redis = require("ioredis");

const connect = (port) => {
  // One attempt at everything: a connection that Segwan ended is not made again.
  const client = new Redis({
    host: "127.0.0.1", port: Number(port), enableReadyCheck: false, retryStrategy: null, maxRetriesPerRequest: 0,
    connectTimeout: 60000, commandTimeout: 60000,
  });
  client.on("error", () => {});
  return client;
};

// A result, or the first words of what was raised.
const told = (promise) => promise.then((value) => value, (error) => `error: ${error.message}`);
const each = (results) => results.map(([error, value]) => (error ? `error: ${error.message}` : value));

const scenes = {
  async cache(port) {
    const client = connect(port);
    const pipeline = client.pipeline().set("app:io", "1").get("other:x").get("app:io").keys("*").mget("app:io", "app:none");
    const results = [each(await pipeline.exec())];
    results.push(await told(client.eval("return 1", 0)), await told(client.getBuffer("app:io").then(String)));
    // By inline commands an HTTP request becomes a command.
    const ended = new Promise((resolve) => client.once("end", () => resolve("ended")));
    client.stream.write("FLUSHALL\r\n");
    results.push(await ended);
    return results;
  },

  async transactions(port) {
    const client = connect(port);
    const results = [each(await client.multi().set("n", "1").incr("n").get("n").exec())];
    const pipelined = client.multi({ pipeline: false });
    await pipelined;
    results.push(await client.incr("n"), await client.exec().then(each));
    client.disconnect();
    return results;
  },

  async news(port, teller) {
    const [client, writer] = [connect(port), connect(teller)];
    const heard = [];
    let wanted;
    const all = new Promise((resolve) => { wanted = resolve; });
    const hear = (...what) => { heard.push(what); if (heard.length === 5) wanted(); };
    client.on("message", (...what) => hear("message", ...what));
    client.on("pmessage", (...what) => hear("pmessage", ...what));
    const results = [await client.subscribe("app:a", "app:b"), await client.psubscribe("app:*")];
    results.push(await told(client.subscribe("other")), await told(writer.publish("other", "x")));
    results.push(await writer.publish("app:a", "1"), await writer.publish("app:c", "2"), await writer.publish("app:b", "3"));
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 60000))]);
    // ioredis takes an UNSUBSCRIBE of all for done when nothing at all is left.
    results.push(await client.punsubscribe("app:*"), await client.unsubscribe(), await client.ping(), heard);
    client.disconnect();
    writer.disconnect();
    return results;
  },
};

const [what, ...ports] = process.argv.slice(2);
scenes[what](...ports).then(
  (value) => { console.log(JSON.stringify(value)); process.exit(0); },
  (error) => { console.error(error); process.exit(1); },
);
