// What this browser is and what it can do.

const UNNAMED = ['K', 'Mobile', 'Tablet'];  // in the place of a phone's name

let looked;

// Browser, system, screen, and what can be used here; asked once.
export function lookAround() {
  looked ??= look();
  return looked;
}

// The backends, each with whether it can be used here, and why not.
export function backendsHere(host) {
  const {webgpu, threads, relaxed_simd: simd} = host.features;
  const noGpu = !host.secure
    ? 'WebGPU takes HTTPS or localhost.'
    : navigator.gpu ? 'This browser has WebGPU, but found no graphics adapter.' : 'This browser has no WebGPU.';
  const noThreads = !host.isolated
    ? 'Threads take a page with isolation headers, over HTTPS or localhost.'
    : simd ? 'This browser has no threads in WebAssembly.' : 'LiteRT.js has threads only with relaxed SIMD, which this browser lacks.';
  return [
    {name: 'wasm', title: 'CPU, one thread', available: true, why: ''},
    {name: 'wasm-threads', title: 'CPU, threads', available: threads, why: threads ? '' : noThreads},
    {name: 'webgpu-fp16', title: 'GPU, half precision', available: webgpu, why: webgpu ? '' : noGpu},
    {name: 'webgpu-fp32', title: 'GPU, float32', available: webgpu, why: webgpu ? '' : noGpu},
  ];
}

async function look() {
  const secure = self.isSecureContext, isolated = Boolean(self.crossOriginIsolated);
  const adapter = await navigator.gpu?.requestAdapter({powerPreference: 'high-performance'}).catch(() => null);
  const {supportsFeature} = await import('./litert/litert.js');
  const [simd, threads, jspi] = await Promise.all(['relaxedSimd', 'threads', 'jspi'].map((name) => supportsFeature(name).catch(() => false)));
  return {
    ...named(navigator.userAgent, await told(), navigator.maxTouchPoints),
    screen: `${screen.width} x ${screen.height}${devicePixelRatio === 1 ? '' : ` at ${devicePixelRatio.toFixed(2)}`}`,
    cores: navigator.hardwareConcurrency ?? null,
    memory_gb: navigator.deviceMemory ?? null,
    touch: navigator.maxTouchPoints > 0,
    secure,
    isolated,
    features: {webgpu: Boolean(adapter), jspi, threads: isolated && simd && threads, relaxed_simd: simd, shader_f16: adapter?.features.has('shader-f16') ?? false},
    adapter: adapter ? adapterName(adapter.info) : null,
  };
}

// What the browser tells beyond its user agent, which names no phone any more: {model, platformVersion}, or null.
async function told() {
  return navigator.userAgentData?.getHighEntropyValues?.(['model', 'platformVersion']).catch(() => null) ?? null;
}

// {browser, system, device} of a user agent's text and what is told beyond it.
export function named(agent, data, touches = 0) {
  const browsers = [['Edge', /Edg\/([\d.]+)/], ['Samsung Internet', /SamsungBrowser\/([\d.]+)/], ['Firefox', /(?:Firefox|FxiOS)\/([\d.]+)/],
    ['Chrome', /(?:Chrome|CriOS|HeadlessChrome)\/([\d.]+)/], ['Safari', /Version\/([\d.]+).*Safari/]];
  const systems = [['iOS', /(?:iPhone|iPad).*? OS ([\d_]+)/], ['Android', /Android ([\d.]+)/], ['macOS', /Mac OS X ([\d_.]+)/], ['Windows', /Windows NT ([\d.]+)/], ['Linux', /(Linux)/]];
  const find = (table) => {
    for (const [name, pattern] of table) {
      const version = agent.match(pattern)?.[1];
      if (version) return version === name ? name : `${name} ${version.replaceAll('_', '.')}`;
    }
    return 'unknown';
  };
  const phone = agent.match(/Android [\d.]+; ([^;)]+)/)?.[1], isTablet = /iPad/.test(agent) || (/Macintosh/.test(agent) && touches > 1);
  const device = data?.model || (/iPhone/.test(agent) ? 'iPhone' : isTablet ? 'iPad' : UNNAMED.includes(phone) ? '' : phone ?? '');
  const android = /Android/.test(agent) && data?.platformVersion ? `Android ${data.platformVersion.replace(/(\.0)+$/, '')}` : '';
  return {browser: find(browsers), system: android || (isTablet ? 'iPadOS' : find(systems)), device};
}

function adapterName(info) {
  return [info?.vendor, info?.architecture, info?.description].filter(Boolean).join(' / ') || 'a GPU without a name';
}

// The battery, as far as the browser tells: {level: 0..1, charging}; null on most.
export async function battery() {
  const state = await navigator.getBattery?.().catch(() => null);
  return state ? {level: state.level, charging: state.charging} : null;
}

const PRESSURES = ['nominal', 'fair', 'serious', 'critical'];

// Watch how hard the processor is pressed, heat included: end() gives the worst, a word of PRESSURES, or null.
export function watchPressure() {
  let worst = -1;
  const observer = self.PressureObserver && new PressureObserver((records) => {
    for (const {state} of records) worst = Math.max(worst, PRESSURES.indexOf(state));
  });
  const observing = observer?.observe('cpu', {sampleInterval: 1000}).catch(() => null);
  return {
    end: async () => {
      await observing;
      observer?.disconnect();
      return PRESSURES[worst] ?? null;
    },
  };
}
