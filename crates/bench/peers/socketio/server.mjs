// Socket.IO with its Redis adapter: rooms as channels. Arguments: port, port of Redis.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, redisPort] = process.argv.slice(2).map(Number);
const publisher = createClient({ url: `redis://127.0.0.1:${redisPort}` });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);

const http = createServer();
const io = new Server(http, { transports: ["websocket"], adapter: createAdapter(publisher, subscriber) });
io.on("connection", (socket) => {
  socket.on("join", async (channel) => {
    await socket.join(channel);
    socket.emit("joined");
  });
  socket.on("publish", (channel, content) => io.to(channel).emit("message", content));
  socket.on("echo", (content) => socket.emit("echo", content));
});
http.listen({ port, host: "127.0.0.1", backlog: 65535 });
