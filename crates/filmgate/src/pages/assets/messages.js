// @ts-check
// Every sentence of the home page, in each of its languages, and which one is spoken now.

const en = {
  'title.signIn': 'Sign in · Filmgate',
  'title.session': 'Your session · Filmgate',
  'title.admin': 'Administration · Filmgate',
  'nav.skip': 'Skip to content',
  'nav.language': 'Language',
  'nav.signOut': 'Sign out',

  'signIn.title': 'Sign in',
  'signIn.lead': 'Filmgate keeps the photos that your assessment takes while you answer.',
  'signIn.username': 'Username',
  'signIn.password': 'Password',
  'signIn.submit': 'Sign in',
  'signIn.busy': 'Signing in…',
  'signIn.again': 
    'You were signed out. Sign in again as {username} and the waiting photos ({n}) will be sent. If someone else signs in here, they are discarded.',
  'signIn.expired': 'You were signed out. Please sign in again.',
  'signIn.failed': 'Signing in did not work. Please try again.',
  'error.unreachable': 'The server cannot be reached. Check your connection and try again.',
  'error.retry': 'Try again',
  'error.load': 'This could not be loaded.',

  'session.title': 'Your session',
  'session.lead': 'The camera is on only while “Recording” is shown. You can stop at any time.',
  'session.choose': 'Session',
  'session.none': 'You have no session yet. The person who runs your assessment opens one for you.',
  'session.reload': 'Look again',
  'session.ended': 'Ended',
  'session.everySecond': 'A photo every second',
  'session.everySeconds': 'A photo every {n} seconds',
  'session.events': 'A photo when something happens',
  'session.manual': 'A photo when you ask for one',
  'session.noSettings': 'Without camera settings',
  'session.allEnded': 'All your sessions have ended. Nothing more is recorded.',

  'camera.preview': 'Live preview of your camera',
  'camera.start': 'Start camera',
  'camera.starting': 'Waiting for the camera…',
  'camera.allow': 'Your browser may ask: choose “Allow”.',
  'camera.stop': 'Stop camera',
  'camera.recording': 'Recording',
  'camera.paused': 'Recording, paused',
  'camera.take': 'Take a photo now',
  'trigger.group': 'Take a photo as if this happened',
  'trigger.BUTTON_CLICK': 'Button click',
  'trigger.MESSAGE_SEND': 'Message sent',
  'trigger.QUESTION_START': 'Question started',
  'trigger.INTERVAL': 'Interval',
  'trigger.MANUAL': 'By hand',
  'trigger.off': '{trigger}: not recorded in this session',

  'absent.title': 'No camera here',
  'absent.insecure':
    'Browsers give the camera only to pages that came over a secure connection, and this one did not. Open it with https:// in front, or on the server’s own computer as http://localhost.',
  'absent.unsupported': 'This browser does not offer its camera to pages. Try a current Firefox, Chrome, Edge or Safari.',
  'absent.denied':
    'The camera is not allowed for this page. Allow it in the browser’s address bar (the camera or lock sign), then start again.',
  'absent.none': 'No camera was found. Connect one, or check that it is switched on, then start again.',
  'absent.busy': 'The camera is in use by another program. Close that program, then start again.',
  'absent.lost': 'The camera went away while recording. Check its cable or its switch, then start again.',
  'absent.unknown': 'The camera could not be started. Try again, or restart the browser.',
  'file.lead': 'Or send a photo instead:',
  'file.choose': 'Choose a photo',

  'status.title': 'Status',
  'status.idle': 'The camera is off.',
  'status.starting': 'The camera is starting.',
  'status.recording': 'Recording.',
  'status.sending': 'The camera is off. The last photos are being sent.',
  'status.offline': 'Offline. Photos wait here and are sent when the connection is back.',
  'status.busy': 'The server asks to wait. Photos wait here; next try at {time}.',
  'status.full': 'Too many photos are waiting. The camera pauses until some are sent.',
  'status.stopped': 'The camera was stopped, because the server refuses the photos.',
  'status.sent': 'Sent',
  'status.waiting': 'Waiting',
  'status.skipped': 'Not wanted',
  'status.refused': 'Refused',
  'status.reasons': 'What the server said',
  'status.broken': 'The browser could not make a photo',

  'strip.title': 'Stored photos',
  'strip.total': '{n} stored',
  'strip.empty': 'Nothing is stored yet.',
  'strip.newest': 'newest first',
  'strip.photo': 'Photo of {time}, {trigger}',
  'strip.stale': 'The list could not be refreshed.',

  'leave.title': 'Photos are still waiting',
  'leave.text': 'Photos not sent yet: {n}. If you sign out now, they are lost.',
  'leave.stay': 'Stay and send them',
  'leave.go': 'Sign out anyway',

  'admin.title': 'What is stored',
  'admin.lead': 'The sessions on this server.',
  'admin.docs': 'API documentation',
  'admin.none': 'No session is stored yet.',
  'admin.more': 'Show more',
  'admin.session': 'Session',
  'admin.user': 'User',
  'admin.settings': 'Settings',
  'admin.opened': 'Opened',
  'admin.ended': 'Ended',
  'admin.photos': 'Photos',
  'admin.open': 'open',
};

/** @typedef {keyof typeof en} MessageKey */

/** @type {Record<MessageKey, string>} */
const id = {
  'title.signIn': 'Masuk · Filmgate',
  'title.session': 'Sesi Anda · Filmgate',
  'title.admin': 'Administrasi · Filmgate',
  'nav.skip': 'Langsung ke isi',
  'nav.language': 'Bahasa',
  'nav.signOut': 'Keluar',

  'signIn.title': 'Masuk',
  'signIn.lead': 'Filmgate menyimpan foto yang diambil asesmen selama Anda menjawab.',
  'signIn.username': 'Nama pengguna',
  'signIn.password': 'Kata sandi',
  'signIn.submit': 'Masuk',
  'signIn.busy': 'Sedang masuk…',
  'signIn.again': 
    'Anda telah dikeluarkan. Masuk lagi sebagai {username}, lalu {n} foto yang menunggu akan dikirim. Jika orang lain masuk di sini, foto itu dibuang.',
  'signIn.expired': 'Anda telah dikeluarkan. Silakan masuk lagi.',
  'signIn.failed': 'Tidak berhasil masuk. Silakan coba lagi.',
  'error.unreachable': 'Server tidak dapat dihubungi. Periksa koneksi Anda, lalu coba lagi.',
  'error.retry': 'Coba lagi',
  'error.load': 'Data tidak dapat dimuat.',

  'session.title': 'Sesi Anda',
  'session.lead': 'Kamera hanya menyala selama “Merekam” terlihat. Anda dapat berhenti kapan saja.',
  'session.choose': 'Sesi',
  'session.none': 'Anda belum memiliki sesi. Penyelenggara asesmen akan membukanya untuk Anda.',
  'session.reload': 'Periksa lagi',
  'session.ended': 'Selesai',
  'session.everySecond': 'Satu foto setiap detik',
  'session.everySeconds': 'Satu foto setiap {n} detik',
  'session.events': 'Satu foto saat sesuatu terjadi',
  'session.manual': 'Satu foto saat Anda memintanya',
  'session.noSettings': 'Tanpa pengaturan kamera',
  'session.allEnded': 'Semua sesi Anda sudah selesai. Tidak ada lagi yang direkam.',

  'camera.preview': 'Pratinjau langsung kamera Anda',
  'camera.start': 'Nyalakan kamera',
  'camera.starting': 'Menunggu kamera…',
  'camera.allow': 'Jika peramban bertanya, pilih “Izinkan”.',
  'camera.stop': 'Matikan kamera',
  'camera.recording': 'Merekam',
  'camera.paused': 'Merekam, dijeda',
  'camera.take': 'Ambil foto sekarang',
  'trigger.group': 'Ambil foto seolah-olah ini terjadi',
  'trigger.BUTTON_CLICK': 'Tombol ditekan',
  'trigger.MESSAGE_SEND': 'Pesan terkirim',
  'trigger.QUESTION_START': 'Pertanyaan dimulai',
  'trigger.INTERVAL': 'Berkala',
  'trigger.MANUAL': 'Manual',
  'trigger.off': '{trigger}: tidak direkam dalam sesi ini',

  'absent.title': 'Tidak ada kamera di sini',
  'absent.insecure':
    'Peramban hanya memberikan kamera kepada halaman yang dibuka lewat koneksi aman, dan halaman ini tidak. Buka dengan https:// di depannya, atau di komputer server itu sendiri sebagai http://localhost.',
  'absent.unsupported': 'Peramban ini tidak memberikan kamera kepada halaman. Coba Firefox, Chrome, Edge, atau Safari versi terbaru.',
  'absent.denied':
    'Kamera belum diizinkan untuk halaman ini. Izinkan di bilah alamat peramban (tanda kamera atau gembok), lalu mulai lagi.',
  'absent.none': 'Kamera tidak ditemukan. Sambungkan kamera, atau pastikan kamera menyala, lalu mulai lagi.',
  'absent.busy': 'Kamera sedang dipakai program lain. Tutup program itu, lalu mulai lagi.',
  'absent.lost': 'Kamera terputus saat merekam. Periksa kabel atau tombolnya, lalu mulai lagi.',
  'absent.unknown': 'Kamera tidak dapat dinyalakan. Coba lagi, atau mulai ulang peramban.',
  'file.lead': 'Atau kirim sebuah foto:',
  'file.choose': 'Pilih foto',

  'status.title': 'Status',
  'status.idle': 'Kamera mati.',
  'status.starting': 'Kamera sedang dinyalakan.',
  'status.recording': 'Merekam.',
  'status.sending': 'Kamera mati. Foto terakhir sedang dikirim.',
  'status.offline': 'Luring. Foto menunggu di sini dan dikirim saat koneksi kembali.',
  'status.busy': 'Server meminta menunggu. Foto menunggu di sini; dicoba lagi pukul {time}.',
  'status.full': 'Terlalu banyak foto menunggu. Kamera dijeda sampai sebagian terkirim.',
  'status.stopped': 'Kamera dimatikan karena server menolak foto.',
  'status.sent': 'Terkirim',
  'status.waiting': 'Menunggu',
  'status.skipped': 'Tidak perlu',
  'status.refused': 'Ditolak',
  'status.reasons': 'Jawaban server',
  'status.broken': 'Peramban tidak dapat membuat foto',

  'strip.title': 'Foto tersimpan',
  'strip.total': '{n} tersimpan',
  'strip.empty': 'Belum ada yang tersimpan.',
  'strip.newest': 'terbaru lebih dulu',
  'strip.photo': 'Foto pukul {time}, {trigger}',
  'strip.stale': 'Daftar tidak dapat diperbarui.',

  'leave.title': 'Masih ada foto yang menunggu',
  'leave.text': '{n} foto belum dikirim. Jika Anda keluar sekarang, foto itu hilang.',
  'leave.stay': 'Tetap di sini dan kirim',
  'leave.go': 'Tetap keluar',

  'admin.title': 'Apa yang tersimpan',
  'admin.lead': 'Sesi di server ini.',
  'admin.docs': 'Dokumentasi API',
  'admin.none': 'Belum ada sesi yang tersimpan.',
  'admin.more': 'Tampilkan lagi',
  'admin.session': 'Sesi',
  'admin.user': 'Pengguna',
  'admin.settings': 'Pengaturan',
  'admin.opened': 'Dibuka',
  'admin.ended': 'Selesai',
  'admin.photos': 'Foto',
  'admin.open': 'terbuka',
};

/** @typedef {'en' | 'id'} Language */

const books = { en, id };
const KEPT_AS = 'filmgate.language';

/** @type {Language} */
let spoken = chosenBefore() ?? (navigator.language.toLowerCase().startsWith('id') ? 'id' : 'en');

/** @returns {Language | null} */
function chosenBefore() {
  try {
    const kept = localStorage.getItem(KEPT_AS);
    return kept === 'en' || kept === 'id' ? kept : null;
  } catch {
    return null; // Storage is switched off; the browser's language will do.
  }
}

export function language() {
  return spoken;
}

/** For numbers and times: the reader's own variety of the language spoken, 21:05 or 9:05 PM. */
export function locale() {
  return navigator.languages.find((one) => one.toLowerCase().startsWith(spoken)) ?? spoken;
}

/** @param {Language} next */
export function speak(next) {
  spoken = next;
  try {
    localStorage.setItem(KEPT_AS, next);
  } catch {
    // It lasts as long as this page.
  }
}

/**
 * The sentence, with its {places} filled.
 * @param {MessageKey} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function say(key, values = {}) {
  return books[spoken][key].replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === 'number' ? value.toLocaleString(locale()) : value;
  });
}

/** Fills every element of the page that carries data-say or data-say-label. */
export function translatePage() {
  document.documentElement.lang = spoken;
  for (const element of document.querySelectorAll('[data-say]')) {
    element.textContent = say(/** @type {MessageKey} */ (element.getAttribute('data-say')));
  }
  for (const element of document.querySelectorAll('[data-say-label]')) {
    element.setAttribute('aria-label', say(/** @type {MessageKey} */ (element.getAttribute('data-say-label'))));
  }
}
