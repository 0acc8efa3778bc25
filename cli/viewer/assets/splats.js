"use strict";
// 3D Gaussians of the page, to be turned: drawn back to front as soft discs (Zwicker et al. 2001), without a library.
// The page shows the turntable until they have been drawn, so that nothing is missing where WebGL 2 is.

const splatViewer = (() => {
  const FIELD_OF_VIEW = 38 * (Math.PI / 180), DISTANCE = 2.8; // of the cameras of a run
  const FIRST_AZIMUTH = Math.PI / 6, FIRST_ELEVATION = 0.25, STEEPEST = 1.5;
  const KEY_TURN = Math.PI / 24, KEY_ZOOM = 0.9, TURN_SECONDS = 24;
  const BYTES = 32; // of a Gaussian in a .splat file
  const NUMBERS = 13; // of a Gaussian here: its centre, six of its covariance, its colour and opacity

  const VERTEX = `#version 300 es
    in vec2 corner; in vec3 centre; in vec3 first; in vec3 second; in vec4 colour;
    uniform mat4 view; uniform float focal; uniform vec2 size;
    out vec2 reach; out vec4 tint;
    void main() {
      vec4 seen = view * vec4(centre, 1.0);
      float depth = -seen.z;
      tint = colour; reach = 3.0 * corner;
      if (depth < 0.05) { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); return; }
      mat3 covariance = mat3(first.x, first.y, first.z, first.y, second.x, second.y, first.z, second.y, second.z);
      mat3 turned = transpose(mat3(view));
      vec3 across = turned * vec3(focal / depth, 0.0, focal * seen.x / (depth * depth));
      vec3 up = turned * vec3(0.0, focal / depth, focal * seen.y / (depth * depth));
      float a = dot(across, covariance * across) + 0.3, b = dot(across, covariance * up);
      float c = dot(up, covariance * up) + 0.3;
      float middle = 0.5 * (a + c), spread = sqrt(max(0.0, 0.25 * (a - c) * (a - c) + b * b));
      float longer = middle + spread, shorter = max(middle - spread, 0.05);
      vec2 axis = abs(b) > 1e-6 ? normalize(vec2(b, longer - a)) : (a >= c ? vec2(1.0, 0.0) : vec2(0.0, 1.0));
      vec2 offset = reach.x * sqrt(longer) * axis + reach.y * sqrt(shorter) * vec2(-axis.y, axis.x);
      gl_Position = vec4((focal * seen.xy / depth + offset) / (0.5 * size), 0.0, 1.0);
    }`;
  const FRAGMENT = `#version 300 es
    precision highp float;
    in vec2 reach; in vec4 tint; out vec4 drawn;
    void main() {
      float alpha = tint.a * exp(-0.5 * dot(reach, reach));
      if (alpha < 1.0 / 255.0) discard;
      drawn = vec4(tint.rgb * alpha, alpha);
    }`;

  /** The numbers of each Gaussian of a .splat file. */
  function read(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const count = Math.floor(bytes.length / BYTES), numbers = new Float32Array(count * NUMBERS);
    for (let i = 0; i < count; i++) {
      const at = i * BYTES, to = i * NUMBERS;
      for (let k = 0; k < 3; k++) numbers[to + k] = view.getFloat32(at + 4 * k, true);
      const scale = [0, 1, 2].map((k) => view.getFloat32(at + 12 + 4 * k, true));
      let [w, x, y, z] = [0, 1, 2, 3].map((k) => (bytes[at + 28 + k] - 128) / 128);
      const length = Math.hypot(w, x, y, z) || 1;
      w /= length; x /= length; y /= length; z /= length;
      const rotation = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
      ];
      const entry = (r, c) => scale.reduce((sum, s, k) => sum + rotation[r][k] * rotation[c][k] * s * s, 0);
      numbers.set([entry(0, 0), entry(0, 1), entry(0, 2), entry(1, 1), entry(1, 2), entry(2, 2)], to + 3);
      for (let k = 0; k < 4; k++) numbers[to + 9 + k] = bytes[at + 24 + k] / 255;
    }
    return numbers;
  }

  /** A camera that looks at the origin: its matrix, column by column. */
  function lookingFrom(azimuth, elevation, distance) {
    const [sa, ca, se, ce] = [Math.sin(azimuth), Math.cos(azimuth), Math.sin(elevation), Math.cos(elevation)];
    const right = [ca, 0, -sa], up = [-se * sa, ce, -se * ca], back = [ce * sa, se, ce * ca];
    return [0, 1, 2].flatMap((k) => [right[k], up[k], back[k], 0]).concat([0, 0, -distance, 1]);
  }

  /** The numbers in the order in which they are drawn: the farthest first. */
  function sorted(numbers, view) {
    const count = numbers.length / NUMBERS, depth = new Float32Array(count), order = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const at = i * NUMBERS;
      depth[i] = view[2] * numbers[at] + view[6] * numbers[at + 1] + view[10] * numbers[at + 2];
      order[i] = i;
    }
    order.sort((a, b) => depth[a] - depth[b]);
    const drawn = new Float32Array(numbers.length);
    order.forEach((i, k) => drawn.set(numbers.subarray(i * NUMBERS, (i + 1) * NUMBERS), k * NUMBERS));
    return drawn;
  }

  class SplatViewer {
    /** Raises an error if the browser has no WebGL 2. */
    constructor(root, numbers) {
      this.root = root;
      this.numbers = numbers;
      this.stage = root.querySelector(".stage");
      this.canvas = root.querySelector("canvas");
      this.gl = this.canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
      if (!this.gl) throw new Error("no WebGL 2");
      this.#prepare();
      this.turning = !matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.reset();
      this.#listen();
      root.classList.add("ready");
    }

    reset() {
      [this.azimuth, this.elevation, this.distance] = [FIRST_AZIMUTH, FIRST_ELEVATION, DISTANCE];
      this.draw();
    }

    turn(on) {
      this.turning = on;
      this.root.querySelector("[data-action=turn]").setAttribute("aria-pressed", String(on));
      this.draw();
    }

    move(across, up, zoom = 1) {
      this.azimuth += across;
      this.elevation = Math.min(STEEPEST, Math.max(-STEEPEST, this.elevation + up));
      this.distance = Math.min(10, Math.max(0.8, this.distance * zoom));
      this.draw();
    }

    /** Draw soon, and go on as long as it turns. */
    draw() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame((now) => {
        this.waiting = false;
        if (this.turning && this.last) this.azimuth += Math.min(now - this.last, 100) * (2 * Math.PI / TURN_SECONDS / 1000);
        this.last = this.turning ? now : null;
        this.#paint();
        if (this.turning) this.draw();
      });
    }

    #prepare() {
      const { gl } = this;
      this.program = gl.createProgram();
      for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, source);
        gl.compileShader(shader);
        if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
        gl.attachShader(this.program, shader);
      }
      gl.linkProgram(this.program);
      gl.useProgram(this.program);
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
      this.#attribute("corner", 2, 0, 0, 0);
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      this.#attribute("centre", 3, 4 * NUMBERS, 0, 1);
      this.#attribute("first", 3, 4 * NUMBERS, 12, 1);
      this.#attribute("second", 3, 4 * NUMBERS, 24, 1);
      this.#attribute("colour", 4, 4 * NUMBERS, 36, 1);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    }

    #attribute(name, numbers, stride, offset, divisor) {
      const place = this.gl.getAttribLocation(this.program, name);
      this.gl.enableVertexAttribArray(place);
      this.gl.vertexAttribPointer(place, numbers, this.gl.FLOAT, false, stride, offset);
      this.gl.vertexAttribDivisor(place, divisor);
    }

    #paint() {
      const { gl, canvas } = this, ratio = Math.min(devicePixelRatio, 2);
      canvas.width = Math.max(1, Math.round(this.stage.clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(this.stage.clientHeight * ratio));
      const view = lookingFrom(this.azimuth, this.elevation, this.distance);
      const uniform = (name) => gl.getUniformLocation(this.program, name);
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniformMatrix4fv(uniform("view"), false, view);
      gl.uniform1f(uniform("focal"), Math.min(canvas.width, canvas.height) / 2 / Math.tan(FIELD_OF_VIEW / 2));
      gl.uniform2f(uniform("size"), canvas.width, canvas.height);
      gl.bufferData(gl.ARRAY_BUFFER, sorted(this.numbers, view), gl.DYNAMIC_DRAW);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.numbers.length / NUMBERS);
    }

    #listen() {
      new ResizeObserver(() => this.draw()).observe(this.stage);
      this.canvas.style.touchAction = "pan-y"; // a phone's page can still be scrolled over the canvas
      this.canvas.addEventListener("pointerdown", (event) => {
        this.canvas.focus({ preventScroll: true });
        this.canvas.setPointerCapture(event.pointerId);
        this.turn(false);
      });
      this.canvas.addEventListener("pointermove", (event) => {
        if (event.buttons) this.move(-event.movementX / 120, event.movementY / 120);
      });
      this.canvas.addEventListener("wheel", (event) => {
        if (document.activeElement !== this.canvas) return; // until it has been clicked, the wheel scrolls the page
        event.preventDefault();
        this.move(0, 0, event.deltaY > 0 ? 1 / KEY_ZOOM : KEY_ZOOM);
      }, { passive: false });
      this.canvas.addEventListener("keydown", (event) => this.#key(event));
      const actions = { turn: () => this.turn(!this.turning), reset: () => this.reset() };
      for (const button of this.root.querySelectorAll("[data-action]")) {
        button.addEventListener("click", actions[button.dataset.action]);
      }
    }

    #key(event) {
      const keys = {
        ArrowLeft: () => this.move(-KEY_TURN, 0), ArrowRight: () => this.move(KEY_TURN, 0),
        ArrowUp: () => this.move(0, KEY_TURN), ArrowDown: () => this.move(0, -KEY_TURN),
        "+": () => this.move(0, 0, KEY_ZOOM), "=": () => this.move(0, 0, KEY_ZOOM), "-": () => this.move(0, 0, 1 / KEY_ZOOM),
        " ": () => this.turn(!this.turning), Home: () => this.reset(),
      };
      const action = keys[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (event.key.startsWith("Arrow")) this.turn(false);
      action();
    }
  }

  if (typeof document === "undefined") return { read, lookingFrom, sorted };
  const { splats } = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.querySelector(".viewer");
  if (!splats || !root) return null;
  try {
    return new SplatViewer(root, read(Uint8Array.from(atob(splats), (letter) => letter.charCodeAt(0))));
  } catch (error) {
    console.info(String(error));
    root.querySelector(".notice").textContent = "This browser offers no WebGL 2, which turning the object needs; "
      + "gaussians.ply opens in programs for 3D Gaussians.";
    return null;
  }
})();
if (typeof module !== "undefined") module.exports = splatViewer;
