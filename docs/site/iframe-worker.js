// A browser starts no worker for a page that is opened from a folder. There, the script of the
// search runs in a frame instead, with the same messages.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(script) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script src="${script}"></` + "script>";
      this.inside = new Promise((ready) => {
        this.frame.onload = () => {
          const inside = this.frame.contentWindow;
          inside.postMessage = (data) => this.onmessage?.({ data: structuredClone(data) });
          ready(inside);
        };
      });
      document.body.append(this.frame);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.inside.then((inside) => inside.onmessage({ data: copy }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
