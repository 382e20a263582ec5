// The sentences of the status element, in the languages of the app's users.

export type Language = 'en' | 'id';

const en = {
  label: 'Camera',
  off: 'The camera is off.',
  starting: 'Waiting for the camera…',
  recording: 'Recording',
  hidden: 'Recording is paused while this page is hidden.',
  thinned: 'Recording. The server is busy and asked for fewer photos.',
  offline: 'Recording. Offline: photos wait in this browser.',
  offline_off: 'Offline. Photos wait in this browser and are sent when the connection is back.',
  busy: 'The server asks to wait. Photos wait in this browser.',
  sending: 'The camera is off. The last photos are being sent.',
  signed_out: 'You are signed out. Photos wait in this browser until you sign in again.',
  interrupted: 'The camera went away. Check its cable or its switch, then start again.',
  refused: 'The camera was stopped, because the server refuses the photos.',
  withdrawn: 'The camera is off. You have withdrawn your consent.',
  insecure: 'Browsers give the camera only to pages that came over HTTPS.',
  unsupported: 'This browser does not offer its camera to pages.',
  denied: 'The camera is not allowed for this page.',
  none: 'No camera was found.',
  busy_camera: 'The camera is in use by another program.',
  unknown: 'The camera could not be started.',
  waiting: '{n} waiting',
  aside: '{n} set aside',
  memory: 'This browser keeps nothing: photos that wait are lost when the page is closed.',
};

export type StatusKey = keyof typeof en;

const id: Record<StatusKey, string> = {
  label: 'Kamera',
  off: 'Kamera mati.',
  starting: 'Menunggu kamera…',
  recording: 'Merekam',
  hidden: 'Perekaman dijeda selama halaman ini tersembunyi.',
  thinned: 'Merekam. Server sedang sibuk dan meminta lebih sedikit foto.',
  offline: 'Merekam. Luring: foto menunggu di peramban ini.',
  offline_off: 'Luring. Foto menunggu di peramban ini dan dikirim saat koneksi kembali.',
  busy: 'Server meminta menunggu. Foto menunggu di peramban ini.',
  sending: 'Kamera mati. Foto terakhir sedang dikirim.',
  signed_out: 'Anda telah keluar. Foto menunggu di peramban ini sampai Anda masuk lagi.',
  interrupted: 'Kamera terputus. Periksa kabel atau tombolnya, lalu mulai lagi.',
  refused: 'Kamera dimatikan karena server menolak foto.',
  withdrawn: 'Kamera mati. Anda telah menarik persetujuan.',
  insecure: 'Peramban hanya memberikan kamera kepada halaman yang dibuka lewat HTTPS.',
  unsupported: 'Peramban ini tidak memberikan kamera kepada halaman.',
  denied: 'Kamera belum diizinkan untuk halaman ini.',
  none: 'Kamera tidak ditemukan.',
  busy_camera: 'Kamera sedang dipakai program lain.',
  unknown: 'Kamera tidak dapat dinyalakan.',
  waiting: '{n} menunggu',
  aside: '{n} disisihkan',
  memory: 'Peramban ini tidak menyimpan apa pun: foto yang menunggu hilang saat halaman ditutup.',
};

const BOOKS: Record<Language, Record<StatusKey, string>> = { en, id };

export function say(language: Language, key: StatusKey, n?: number): string {
  return BOOKS[language][key].replace('{n}', n === undefined ? '{n}' : n.toLocaleString(language));
}

/** Of a document's or element's `lang`; English where there is no book for it. */
export function languageOf(lang: string | null | undefined): Language {
  return lang?.toLowerCase().startsWith('id') ? 'id' : 'en';
}
