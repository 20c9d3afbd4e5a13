// Improv's own client for browsers, on a TCP port: improv_client.mjs MODULE HOST PORT SSID
// The password is in $WIFI_PASSWORD. Prints one line of JSON.
import net from "node:net";
import { Readable, Writable } from "node:stream";

const [module, host, port, ssid] = process.argv.slice(2);
const { ImprovSerial } = await import(module);
const socket = net.connect(Number(port), host);
const quiet = { log() {}, debug() {}, error() {} };
const improv = new ImprovSerial(
  { readable: Readable.toWeb(socket), writable: Writable.toWeb(socket) },
  quiet,
);
const told = { info: await improv.initialize(20000), state: improv.state };
told.networks = await improv.scan();
try {
  await improv.provision(ssid, process.env.WIFI_PASSWORD, 30000);
  told.url = improv.nextUrl;
} catch (e) {
  told.error = String(e);
}
told.after = improv.state;
console.log(JSON.stringify(told));
process.exit(0);
