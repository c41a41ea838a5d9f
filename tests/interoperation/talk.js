// One conversation by the interface that browsers and the package ws share. Resolves to what was seen, once the
// connection has ended: by us with code 1000 where `closes`, else by the node.
(WebSocket, { url, subprotocol, sends, wanted, closes }) =>
    new Promise((resolve) => {
        const socket = subprotocol ? new WebSocket(url, subprotocol) : new WebSocket(url);
        const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
        const received = [];
        socket.binaryType = "arraybuffer";
        socket.onopen = () => sends.forEach(({ text, binary }) => socket.send(text ?? bytes(binary)));
        socket.onmessage = ({ data }) => {
            received.push(typeof data === "string" ? { text: data } : { binary: base64(data) });
            if (closes && received.length === wanted) socket.close(1000);
        };
        socket.onerror = () => {};
        socket.onclose = ({ code, reason, wasClean }) =>
            resolve({ protocol: socket.protocol, received, code, reason, clean: wasClean });
    });
