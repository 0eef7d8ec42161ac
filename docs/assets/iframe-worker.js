// Search without a server: no browser starts a worker from file://, so a hidden frame does its work.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      const send = inside.postMessage.bind(inside);  // the page in the frame gets another one
      this.postMessage = (message) => send(message, "*");
      window.addEventListener("message", (event) => {
        if (event.source === inside)
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      });
      inside.document.open();
      inside.document.write(
        `<script>postMessage = (message) => parent.postMessage(message, "*")</` + `script>` +
          `<script src="${url}"></` + `script>`,
      );
      inside.document.close();
    }
  };
